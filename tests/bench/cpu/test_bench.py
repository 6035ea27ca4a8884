"""`sscn bench` runs end to end, writes a complete record with the reference's counts, and refuses bad input."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import sscn_ref
from sscn_triton import nn
from sscn_triton.bench.cpu.command import Bench, bench
from sscn_triton.bench.cpu.layers import measure_layer
from sscn_triton.bench.cpu.rulebooks import builds, convolutions
from sscn_triton.bench.cpu.workers import SCRIPT, TOLERANCE, UP_TO, Worker, compare
from tests.support.clouds import random_cloud


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    bench(Bench(events=1, size=32, repeat=1, threads=1, copies=2, out=str(out)))
    assert [path.name for path in out.parent.iterdir()] == ["bench.json"]
    return json.loads(out.read_text())


def test_the_record_is_complete(record):
    assert {"date", "machine", "options", "voxels", "engines", "levels", "total", "product GFLOP/s"} <= set(record)
    assert record["images"] == 2
    assert len(record["machine"]["load average"]) == 2
    assert {"torch", "numpy", "numba", "sscn", "sparseconvnet"} == set(record["versions"])
    assert {"sscn fp32", "sscn bf16 autocast"} <= set(record["engines"])
    for engine in record["engines"].values():
        assert all(engine[key] > 0 for key in ("wall ms", "cpu ms", "backward ms", "adam ms"))
        assert engine["import s"] >= engine["torch import s"] > 0
        if sys.platform == "linux":
            assert engine["peak MB"] > engine["MB after import"] > 0
            assert engine["peak MB"] > engine["own MB"] > 0
        assert engine["first step s"] > 0
    assert record["engines"]["sscn fp32"]["wall ratio"] == 1
    assert sum(level["layers"] for level in record["levels"]) == record["total"]["layers"] == 45
    assert record["operators"][0]["host ms"] >= record["operators"][-1]["host ms"]
    assert all(value > 0 for value in record["host microseconds"].values())


def test_rulebooks_are_timed_separately_from_the_pass(record):
    rulebooks = record["rulebooks"]
    assert len(rulebooks["levels ms"]) == 5
    assert rulebooks["total ms"] == pytest.approx(sum(rulebooks["levels ms"]))
    assert record["rulebooks share of step"] * record["engines"]["sscn fp32"]["wall ms"] == pytest.approx(
        rulebooks["total ms"]
    )


def test_every_rulebook_of_a_pass_is_built_once_when_timed():
    x = random_cloud(60, 4, dtype=torch.float32)
    network = nn.Sequential(
        nn.SubmanifoldConv(4, 4, 3), nn.SubmanifoldConv(4, 4, 3), nn.SubmanifoldConv(4, 4, 3, dilation=2),
        nn.SparseConv(4, 4, 2, stride=2), nn.SubmanifoldConv(4, 4, 3), nn.InverseConv(4, 4, 2, stride=2),
    )  # fmt: skip
    built = [(level, build()) for level, build in builds(convolutions(network, x))]
    assert [level for level, _ in built] == [0, 0, 0, 1]
    assert built[0][1] is not x.grid.submanifold((3, 3, 3), (1, 1, 1))
    assert built[0][1].rule_count == x.grid.submanifold((3, 3, 3), (1, 1, 1)).rule_count


def test_a_process_for_another_engine_imports_nothing_of_this_library():
    """Its import time and its memory must not include this library."""
    code = (
        f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); "
        "print([name for name in sys.modules if name.startswith(('sscn_triton', 'torch', 'numpy', 'numba'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_error_in_an_engines_process_is_raised_in_this_process():
    with pytest.raises(ValueError, match="the network has 141 parameters, 0 were given"):
        Worker("sscn fp32", ({"labels": None, "spatial_shape": (8, 8, 8)}, [], 1))


def test_a_record_names_no_path(record):
    assert record["options"]["out"] == "bench.json"


@pytest.mark.parametrize("layer", [nn.SubmanifoldConv(4, 6, 3, groups=2), nn.SparseConv(4, 6, 2, stride=2)])
def test_operations_are_those_the_reference_counts(layer):
    tensor = random_cloud(60, 4, dtype=torch.float32)
    sites = tensor.coordinates.numpy()
    if isinstance(layer, nn.SparseConv):
        rulebook = sscn_ref.strided_rulebook(sites, 2, 2)
    else:
        rulebook = sscn_ref.submanifold_rulebook(sites, 3)
    counted = sscn_ref.count_operations(rulebook, 4, 6, layer.groups)
    found = measure_layer((layer, tensor, layer(tensor)), 1)
    assert found["GFLOP"] == pytest.approx(2e-9 * counted.multiply_adds)


def test_engines_that_disagree_are_not_timed():
    logits = {"sscn fp32": np.ones((2, 5)), "sscn bf16 autocast": np.full((2, 5), 1.01)}
    assert compare(logits) == {"sscn bf16 autocast": pytest.approx(0.01)}
    with pytest.raises(ValueError, match="SparseConvNet fp32 computes different results"):
        compare({**logits, "SparseConvNet fp32": np.full((2, 5), 1.01)})


def test_sums_over_many_voxels_may_round_more():
    many = 2 * UP_TO
    logits = {"sscn fp32": np.ones((many, 1)), "SparseConvNet fp32": np.full((many, 1), 1 + 1.5 * TOLERANCE)}
    assert compare(logits) == {"SparseConvNet fp32": pytest.approx(1.5 * TOLERANCE)}
    with pytest.raises(ValueError, match=r"differ by 2\.5e-03, allowed 2\.0e-03"):
        compare({**logits, "SparseConvNet fp32": np.full((many, 1), 1 + 2.5 * TOLERANCE)})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"repeat": 0}, "repeat"), ({"events": 0}, "events"), ({"size": 4}, "size"), ({"device": "tpu"}, "device"),
     ({"out": "a.txt"}, "out")],
)  # fmt: skip
def test_bad_options_are_refused_before_any_work(wrong, message):
    with pytest.raises(ValueError, match=message):
        Bench(**wrong)
