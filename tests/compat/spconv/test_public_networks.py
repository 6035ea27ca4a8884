"""Unedited public networks give spconv's results, if spconv can be imported and SSCN_CLONES names their checkouts."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from tests.compat.spconv import compare_networks, foreign_networks

CLONES = os.environ.get("SSCN_CLONES", "")
if importlib.util.find_spec("spconv") is None:
    pytest.skip("spconv is not installed", allow_module_level=True)
if not CLONES:
    pytest.skip("SSCN_CLONES does not name a folder of checkouts", allow_module_level=True)


@pytest.mark.parametrize("name", list(foreign_networks.NETWORKS))
def test_a_network_is_within_1e_5_of_spconv(name, tmp_path):
    repository = foreign_networks.NETWORKS[name][0]
    if not (Path(CLONES) / repository).is_dir():
        pytest.skip(f"there is no {repository} in {CLONES}")
    found = compare_networks.figures(compare_networks.computed(Path(CLONES).resolve(), name, tmp_path))
    for what in ("outputs", "smooth_outputs", "gradients", "input_gradient"):
        assert found[what] <= 1e-5, (what, found)
