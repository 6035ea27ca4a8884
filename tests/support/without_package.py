"""Runs commands of `sscn` where a module is not installed: `python without_package.py MODULE < COMMANDS`.

Reads a JSON list of commands, each a list of words, and prints a JSON list of [exit code, stderr]. Every command runs
in a process that is forked from one which has imported what needs no optional package.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback


def run(words: list[str]) -> tuple[int | str | None, str]:
    """Exit code and stderr of the command; the code is the traceback if there was one."""
    from sscn_triton.cli import main

    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(words)
        except SystemExit as end:
            return end.code, told.getvalue()
        except BaseException:
            return traceback.format_exc(), told.getvalue()


def in_a_fork(words: list[str]) -> tuple[int | str | None, str]:
    """`run` in a child process."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        with os.fdopen(write, "w") as answer:
            json.dump(run(words), answer)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        code, told = json.load(answer)
    os.waitpid(child, 0)
    return code, told


def main() -> None:
    module, commands = sys.argv[1], json.load(sys.stdin)
    sys.modules[module] = None  # type: ignore[assignment]
    import sscn_triton.lartpc  # noqa: F401

    print(json.dumps([in_a_fork(words) for words in commands]))


if __name__ == "__main__":
    main()
