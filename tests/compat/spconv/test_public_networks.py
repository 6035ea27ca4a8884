"""Unedited public networks, if SSCN_CLONES names a folder with their checkouts: near float64, and near spconv if it is
installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from tests.compat.spconv import compare_networks, foreign_networks

CLONES = os.environ.get("SSCN_CLONES", "")
if not CLONES:
    pytest.skip("SSCN_CLONES does not name a folder of checkouts", allow_module_level=True)


def results(name, folder, engines):
    """The results of each engine; skips where there is no checkout."""
    repository = foreign_networks.NETWORKS[name][0]
    if not (Path(CLONES) / repository).is_dir():
        pytest.skip(f"there is no {repository} in {CLONES}")
    return compare_networks.computed(Path(CLONES).resolve(), name, folder, engines)


@pytest.mark.skipif(importlib.util.find_spec("spconv") is None, reason="spconv is not installed")
@pytest.mark.parametrize("name", list(foreign_networks.NETWORKS))
def test_a_network_is_within_1e_5_of_spconv(name, tmp_path):
    found = compare_networks.figures(results(name, tmp_path, compare_networks.ENGINES))
    for what in ("outputs", "smooth_outputs", "gradients", "input_gradient"):
        assert found[what] <= 1e-5, (what, found)


@pytest.mark.parametrize("name", list(foreign_networks.NETWORKS))
def test_a_network_in_float32_is_within_1e_4_of_float64(name, tmp_path):
    found = results(name, tmp_path, ("sscn", "float64"))
    one, exact = found["sscn"], found["float64"]
    assert compare_networks.farthest(one["outputs"], exact["outputs"]) <= 1e-4
    assert compare_networks.farthest(one["smooth outputs"], exact["smooth outputs"]) <= 1e-4
    gradients = (compare_networks.as_one(part["gradients"]) for part in (one, exact))
    assert compare_networks.farthest(*gradients) <= 1e-4
