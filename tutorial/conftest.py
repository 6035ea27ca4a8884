"""Plain `pytest --nbval tutorial/` checks the notebooks; times may differ."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

NEED_TRITON = {"12_puzzles.ipynb", "13_tiles.ipynb"}
LEFT_OUT = set() if importlib.util.find_spec("triton") else NEED_TRITON
STUDENT = Path(__file__).with_name("student")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what needs Triton where it is not, and the students' notebooks, which
    are the chapters again, unless they are asked for."""
    asked = any(STUDENT.name in Path(argument).parts for argument in config.args)
    if collection_path.name in LEFT_OUT or (collection_path == STUDENT and not asked):
        return True
    return None


def pytest_report_header() -> str:
    """Say what is left out, and why."""
    names = ", ".join(sorted(LEFT_OUT))
    return f"not run, Triton is not installed: {names}" if names else ""


def pytest_configure(config: pytest.Config) -> None:
    """Set what would otherwise be command-line options of nbval."""
    if config.getoption("nbval", default=False):
        config.option.nbval_sanitize_with = str(
            Path(__file__).with_name("sanitize.cfg")
        )
        config.option.nbval_current_env = True
        config.option.nbval_cell_timeout = 120
