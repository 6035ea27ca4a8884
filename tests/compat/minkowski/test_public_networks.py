"""Unedited public networks written for MinkowskiEngine run, if SSCN_CLONES names a folder with their checkouts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.minkowski import public_networks

CLONES = os.environ.get("SSCN_CLONES", "")
if not CLONES:
    pytest.skip("SSCN_CLONES does not name a folder of checkouts", allow_module_level=True)
TREE = Path(__file__).parents[3]


@pytest.mark.parametrize("name", list(public_networks.NETWORKS))
def test_a_network_in_float32_is_within_1e_4_of_float64(name, tmp_path):
    repository = public_networks.NETWORKS[name][0]
    if not (Path(CLONES) / repository).is_dir():
        pytest.skip(f"there is no {repository} in {CLONES}")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TREE), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, public_networks.__file__, str(Path(CLONES).resolve()), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert max(found["outputs"], found["gradients"]) <= 1e-4, found
