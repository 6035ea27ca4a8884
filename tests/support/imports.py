"""Import statements, tried one by one in a new process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TRY = """
for line in {lines}:
    try:
        exec(line)
    except ImportError as error:
        print(error)
    else:
        print("fine")
"""


def check_imports(
    folder: Path,
    statements: Mapping[str, str | None],
    before: str = "",
    after: str = "",
    command: Sequence[str] = (sys.executable,),
) -> list[str]:
    """Check that a statement works if it is listed with None, else that its error contains the listed words.

    before, after: code of the same script; command: what runs the script. Returns the lines that `after` printed.
    """
    script = folder / "imports.py"
    script.write_text(before + TRY.format(lines=list(statements)) + after)
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    for (statement, words), line in zip(statements.items(), printed, strict=False):
        assert line == "fine" if words is None else words in line, (statement, line)
    assert len(printed) >= len(statements)
    return printed[len(statements) :]
