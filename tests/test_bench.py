"""`sscn bench`: it runs end to end, its record is whole, its counts are the reference's, and it refuses bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from clouds import random_cloud

import sscn_ref
from sscn_triton import nn
from sscn_triton.study.bench import Bench, _compare, bench
from sscn_triton.study.bench_layers import _measure


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    bench(Bench(events=1, size=32, repeat=1, threads=1, copies=2, out=str(out)))
    assert [path.name for path in out.parent.iterdir()] == ["bench.json"]
    return json.loads(out.read_text())


def test_the_record_is_whole(record):
    assert {"date", "machine", "options", "voxels", "engines", "rulebooks ms", "levels", "operators"} <= set(record)
    assert record["images"] == 2
    assert len(record["machine"]["load average"]) == 2
    assert {"sscn fp32", "sscn bf16 autocast"} <= set(record["engines"])
    for engine in record["engines"].values():
        assert all(engine[key] > 0 for key in ("wall ms", "cpu ms", "backward ms", "adam ms", "resident before MB"))
    assert record["engines"]["sscn fp32"]["wall ratio"] == 1
    assert sum(level["layers"] for level in record["levels"]) == 45
    assert record["operators"][0]["host ms"] >= record["operators"][-1]["host ms"]


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
    found = _measure(layer, tensor, 1)
    assert found["GFLOP"] == pytest.approx(2e-9 * counted.multiply_adds)


def test_engines_that_disagree_are_not_timed():
    logits = {"sscn fp32": np.ones((2, 5)), "sscn bf16 autocast": np.full((2, 5), 1.01)}
    assert _compare(logits) == {"sscn bf16 autocast": pytest.approx(0.01)}
    with pytest.raises(ValueError, match="SparseConvNet fp32 computes something else"):
        _compare({**logits, "SparseConvNet fp32": np.full((2, 5), 1.01)})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"repeat": 0}, "repeat"), ({"events": 0}, "events"), ({"size": 4}, "size"), ({"device": "tpu"}, "device"),
     ({"out": "a.txt"}, "out")],
)  # fmt: skip
def test_bad_options_are_refused_before_any_work(wrong, message):
    with pytest.raises(ValueError, match=message):
        Bench(**wrong)
