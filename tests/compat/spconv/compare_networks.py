"""How far public networks, unedited, are from spconv's CPU build when this library computes them.

    python tests/compat/spconv/compare_networks.py FOLDER_OF_CLONES RESULT.json

The folder holds a checkout of each repository under its own name; spconv has to be importable.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from tests.compat.spconv import foreign_networks

HERE = Path(__file__).parent
ENGINES = ("spconv", "sscn", "float64")


def computed(clones, name, folder, engines=ENGINES):
    """The results of each engine for a network."""
    found = {}
    for engine in engines:
        target = Path(folder) / f"{engine}.pt"
        arguments = [engine, clones, name, Path(folder) / "weights.pt", target]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            "SPARSE_ATTN_BACKEND": "xformers",  # of TRELLIS: no module used here imports them
        }
        command = [sys.executable, HERE / "foreign_networks.py", *arguments]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, env=environment, cwd=folder
        )
        if done.returncode:
            raise RuntimeError(f"{name} with {engine}: {done.stderr[-2000:]}")
        found[engine] = torch.load(target, weights_only=True)
    return found


def farthest(one, other):
    """The largest difference of any tensor, relative to the largest value of that tensor in ``other``.

    Raises ValueError if names, shapes or integers differ.
    """
    if one.keys() != other.keys():
        raise ValueError(f"one has {sorted(one.keys() ^ other.keys())} alone")
    most = 0.0
    for name, value in one.items():
        wanted = other[name]
        if value.shape != wanted.shape or (not value.is_floating_point() and not torch.equal(value, wanted)):
            raise ValueError(f"{name} differs: {tuple(value.shape)} and {tuple(wanted.shape)}")
        if value.is_floating_point():
            most = max(most, float((value.double() - wanted.double()).abs().max() / wanted.abs().max()))
    return most


def as_one(gradients):
    """All gradients as one tensor, because gradients that cancel to zero (of a bias before a norm) consist of rounding
    errors."""
    return {"all": torch.cat([gradients[name].flatten() for name in sorted(gradients)])}


def figures(found):
    """Differences of outputs, with ReLU and with a smooth activation, and of gradients; sites of the input."""
    spconv, sscn, exact = (found[engine] for engine in ENGINES)
    inputs = [{"input": part["gradients"]["input features"]} for part in (sscn, spconv)]
    return {
        "sites": spconv["sites"],
        "outputs": farthest(sscn["outputs"], spconv["outputs"]),
        "smooth_outputs": farthest(sscn["smooth outputs"], spconv["smooth outputs"]),
        "gradients": farthest(as_one(sscn["gradients"]), as_one(spconv["gradients"])),
        "input_gradient": farthest(*inputs),
        "spconv_to_float64": farthest(spconv["outputs"], exact["outputs"]),
        "sscn_to_float64": farthest(sscn["outputs"], exact["outputs"]),
    }


def commit_of(folder):
    """The commit that is checked out in the folder, or None."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def main(clones, target):
    networks = {}
    for name, (repository, *_) in foreign_networks.NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = figures(computed(Path(clones).resolve(), name, folder))
        networks[name] = {"repository": repository, "commit": commit_of(Path(clones) / repository), **found}
        print(name, found, flush=True)
    versions = {name: importlib.metadata.version(name) for name in ("spconv", "cumm", "torch", "numpy")}
    result = {
        "date": datetime.date.today().isoformat(),
        "commit": commit_of(HERE),
        "python": platform.python_version(),
        "versions": versions,
        "networks": networks,
    }
    Path(target).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
