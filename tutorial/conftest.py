"""Plain `pytest --nbval tutorial/` checks the notebooks; times may differ."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

NEED_TRITON = ["12_puzzles.ipynb"]
collect_ignore = [] if importlib.util.find_spec("triton") else NEED_TRITON


def pytest_report_header() -> str:
    """Say what is left out, and why."""
    left_out = ", ".join(collect_ignore)
    return f"not run, Triton is not installed: {left_out}" if left_out else ""


def pytest_configure(config: pytest.Config) -> None:
    """Set what would otherwise be command-line options of nbval."""
    if config.getoption("nbval", default=False):
        config.option.nbval_sanitize_with = str(
            Path(__file__).with_name("sanitize.cfg")
        )
        config.option.nbval_current_env = True
        config.option.nbval_cell_timeout = 120
