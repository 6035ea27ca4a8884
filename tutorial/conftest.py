"""Plain `pytest --nbval tutorial/` checks the notebooks; times may differ."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Set what would otherwise be command-line options of nbval."""
    if config.getoption("nbval", default=False):
        config.option.nbval_sanitize_with = str(
            Path(__file__).with_name("sanitize.cfg")
        )
        config.option.nbval_current_env = True
        config.option.nbval_cell_timeout = 120
