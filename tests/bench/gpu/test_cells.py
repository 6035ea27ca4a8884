"""The cells are those that were asked for, on the networks of the study and the public benchmark."""

from __future__ import annotations

import torch

from sscn_triton.bench.gpu.bars import ENCODERS, HALVING, bar_of
from sscn_triton.bench.gpu.cells import NETWORKS, PROFILED, QUICK, SHARES, TOY, TRIALS, TUNED, full_grid
from sscn_triton.bench.gpu.report import line
from sscn_triton.bench.gpu.subjects import network_named
from sscn_triton.models import SparseEncoder, SparseUResNet


def test_the_grid_has_every_cell_that_was_asked_for() -> None:
    grid, quick = full_grid(), set(QUICK)
    assert len(set(grid)) == len(grid)
    assert quick <= set(grid)
    assert len(quick) == len(QUICK)
    assert {cell.network for cell in grid} == NETWORKS.keys() - set(TRIALS)
    for name, wanted in {
        "task": {"forward", "step"},
        "precision": {"fp32", "tf32", "bf16"},
        "images": {1, 16, 64},
        "mode": {"eager", "compiled", "graph"},
        "rulebook": {"in", "out"},
    }.items():
        assert {getattr(cell, name) for cell in grid if cell.network == "uresnet16"} == wanted
    assert {(cell.size, cell.density) for cell in grid} == {
        (192, "real"),
        (512, "real"),
        (768, "real"),
        (768, "pilarnet"),
    }


def test_layers_are_split_into_forward_gradients_and_norm() -> None:
    for channels in (16, 32, 64, 128):
        tasks = {cell.task for cell in QUICK if cell.network == f"layer{channels}" and cell.mode == "graph"}
        assert tasks == {"forward", *SHARES}
    assert set(SHARES) <= {cell.task for cell in TOY}


def test_the_kernels_of_both_networks_are_listed_and_three_widths_tuned() -> None:
    assert [cell.network for cell in PROFILED] == ["uresnet16", "encoder-large"]
    assert [cell.network for cell in TUNED] == ["layer16", "layer32", "layer64"]


def test_every_bar_stands_beside_a_cell_that_is_timed() -> None:
    found = [bar for cell in QUICK if (bar := bar_of(cell))]
    assert sorted(bar.ms for bar in found) == [0.72, 2.72, 6.79, 8.51, 13.11, 16.17, 34.94]
    assert {*ENCODERS.values(), HALVING} == set(found)
    assert [bar_of(cell) for cell in TOY] == [None] * len(TOY)


def test_a_bar_is_printed_with_its_ratio_and_source() -> None:
    bar = ENCODERS["encoder-small", 1]
    record = {
        "sscn": {"ms": 1.36, "in a row": 1.3}, "floor ms": 0.1, "voxels": 4000, "bar": bar._asdict(),
        "rules per site": {"finest level": 5.6},
    }  # fmt: skip
    assert "to beat: 2.72 ms, torchsparse (2.00 x this); H200, PILArNet-M-mini" in line("some cell", record)


def test_networks_are_those_of_the_study_and_the_benchmark() -> None:
    with torch.device("meta"):
        assert isinstance(network_named("uresnet32"), SparseUResNet)
        assert isinstance(network_named("encoder-large"), SparseEncoder)
        count = sum(p.numel() for p in network_named("uresnet16").parameters())
    assert count == 2_741_477
