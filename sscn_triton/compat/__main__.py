"""Run a script that imports another engine: ``python -m sscn_triton.compat ENGINE SCRIPT [ARGS]``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from sscn_triton.compat import ENGINES, install


def main(arguments: list[str]) -> int:
    """Run ``SCRIPT`` as Python would, with ``ENGINE`` replaced. Returns 2 if it cannot start, else 0."""
    usage = f"usage: python -m sscn_triton.compat {{{','.join(ENGINES)}}} SCRIPT [ARGS]"
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"{usage}\n\nRun SCRIPT with its engine replaced by sscn_triton.")
        return 0
    if len(arguments) < 2 or arguments[0] not in ENGINES:
        print(usage, file=sys.stderr)
        return 2
    engine, script, *rest = arguments
    if not Path(script).is_file():
        print(f"error: there is no script {script}", file=sys.stderr)
        return 2
    install(engine)
    sys.argv = [script, *rest]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
