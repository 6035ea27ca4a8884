"""Plain `pytest --nbval tutorial/` checks the notebooks; times may differ."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in tests/conftest.py
NEED_TRITON = {"12_puzzles.ipynb", "13_tiles.ipynb"}
LEFT_OUT = set() if importlib.util.find_spec("triton") else NEED_TRITON
STUDENT = Path(__file__).with_name("student")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the students' notebooks, and those that need Triton if it is not installed.

    The students' notebooks repeat the chapters, so they run only if the command names
    them.
    """
    asked = any(STUDENT.name in Path(argument).parts for argument in config.args)
    if collection_path.name in LEFT_OUT or (collection_path == STUDENT and not asked):
        return True
    return None


def pytest_report_header() -> str:
    """Say what is skipped, and why."""
    names = ", ".join(sorted(LEFT_OUT))
    return f"not run, Triton is not installed: {names}" if names else ""


def pytest_configure(config: pytest.Config) -> None:
    """Set options of nbval that would otherwise be given on the command line."""
    if config.getoption("nbval", default=False):
        config.option.nbval_sanitize_with = str(
            Path(__file__).with_name("sanitize.cfg")
        )
        config.option.nbval_current_env = True
        config.option.nbval_cell_timeout = 1200  # ends a cell that hangs
