"""torchsparse's functions of points: hashes, points to sites and back, voxels and batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sscn_triton.compat.torchsparse as torchsparse
from sscn_triton.compat.torchsparse import backend, nn
from sscn_triton.compat.torchsparse.nn import functional as F
from sscn_triton.compat.torchsparse.utils import quantize
from sscn_triton.compat.torchsparse.utils.collate import sparse_collate, sparse_collate_fn
from tests.support.clouds import random_sites

SITES = [[0, 0, 0, 0], [0, 1, 0, 2], [2, 3, 2, 1], [0, 2, 1, 1], [2, 2, 2, 1]]


def test_hashes_are_fnv_over_batch_x_y_z() -> None:
    coords = torch.tensor([[1, -2, 3, 4], [0, 0, 0, 0]]).int()
    expected = []
    for row in coords.tolist():
        value = 14695981039346656037
        for number in row:
            value = ((value ^ (number % 2**32)) * 1099511628211) % 2**64
        expected.append(value - 2**64 if value >= 2**63 else value)
    assert F.sphash(coords).tolist() == expected
    offsets = nn.utils.get_kernel_offsets(2, 3)
    assert offsets.tolist() == [[3 * a, 3 * b, 3 * c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    moved = F.sphash(coords, offsets)
    assert moved.shape == (8, 2)
    assert torch.equal(moved[6], F.sphash(coords + torch.tensor([0, 3, 3, 0]).int()))
    assert nn.utils.get_kernel_offsets((3, 1, 3)).tolist() == [[a, 0, c] for c in (-1, 0, 1) for a in (-1, 0, 1)]
    assert nn.utils.get_kernel_offsets((4, 1, 1), dilation=2)[:, 0].tolist() == [-2, 0, 2, 4]
    rows = F.sphashquery(moved, F.sphash(coords).repeat(2))
    assert rows.shape == (8, 2)
    assert rows[0].tolist() == [0, 1]
    assert (rows[1:] == -1).all()
    assert F.sphashquery(moved, moved.new_empty(0)).max() == -1


def test_points_to_sites_and_back() -> None:
    """As SPVCNN uses them: means of each site's points, and trilinear interpolation between sites."""
    sites = random_sites(60, size=5).int()
    place = torch.rand(30, 3, dtype=torch.float64) * 5
    points = torch.cat([torch.randint(0, 2, (30, 1)), place], 1)
    table = backend.GPUHashTable(torch.zeros(120), torch.zeros(120))
    table.insert_coords(sites[:, [1, 2, 3, 0]])
    two, one = torch.tensor([2, 2, 2]), torch.tensor([1, 1, 1])
    found = table.lookup_coords(points.floor().int()[:, [1, 2, 3, 0]], two, one, 8)
    assert found.shape == (128, 8)
    rows = found[:30] - 1
    by_hash = F.sphashquery(F.sphash(points.floor().int(), nn.utils.get_kernel_offsets(2)), F.sphash(sites)).T
    assert torch.equal(rows.long(), by_hash)
    known = {tuple(site): row for row, site in enumerate(sites.tolist())}
    weights = F.calc_ti_weights(points[:, 1:], rows)
    feats = torch.randn(60, 2, dtype=torch.float64, requires_grad=True)
    at = F.spdevoxelize(feats, rows, weights)
    counts = F.spcount(rows[:, 0], 60)
    means = F.spvoxelize(at, rows[:, 0], counts)
    for number, (event, *xyz) in enumerate(points.tolist()):
        total, sum_of_weights = 0, 1e-8
        for corner in range(8):
            step = (corner // 4, corner // 2 % 2, corner % 2)
            row = known.get((int(event), *(int(c) + s for c, s in zip(xyz, step, strict=True))))
            if row is not None:
                weight = np.prod([c % 1 if s else 1 - c % 1 for c, s in zip(xyz, step, strict=True)])
                total, sum_of_weights = total + weight * feats[row], sum_of_weights + weight
        torch.testing.assert_close(at[number], total / sum_of_weights + torch.zeros(2, dtype=torch.float64))
    for row in range(60):
        inside = rows[:, 0] == row
        assert counts[row] == inside.sum()
        torch.testing.assert_close(means[row], at[inside].sum(0) / max(int(inside.sum()), 1))
    torch.autograd.gradcheck(lambda f: F.spvoxelize(F.spdevoxelize(f, rows, weights), rows[:, 0], counts), feats)
    wide = F.calc_ti_weights(points[:, 1:] * 3, rows, scale=3)
    torch.testing.assert_close(wide, weights)
    halves = F.calc_ti_weights(torch.full((1, 3), 0.3).half(), torch.full((1, 8), -1))
    assert torch.equal(halves, torch.zeros(1, 8))
    weights.requires_grad_()
    assert torch.autograd.grad(F.spdevoxelize(feats, rows, weights).sum(), weights, allow_unused=True) == (None,)
    half = (sites[:4] // torch.tensor([1, 1, 2, 2])).int()
    odd = table.lookup_coords(half[:, [1, 2, 3, 0]], torch.tensor([3, 1, 1]), torch.tensor([1, 2, 2]), 3)[:4]
    for row, (event, *xyz) in enumerate(half.tolist()):
        wanted = [(event, xyz[0] + step, 2 * xyz[1], 2 * xyz[2]) for step in (-1, 0, 1)]
        assert (odd[row] - 1).tolist() == [known.get(site, -1) for site in wanted]
    hashes = backend.GPUHashTable(torch.zeros(120), torch.zeros(120))
    hashes.insert_vals(F.sphash(sites))
    assert hashes.lookup_vals(F.sphash(sites[:3] + 0))[:4].tolist() == [1, 2, 3, 0]
    with pytest.raises(ValueError, match="filled already"):
        hashes.insert_vals(F.sphash(sites))


def test_means_of_half_precision_do_not_overflow() -> None:
    rows = torch.full((5, 1), 4e4).half()
    assert torch.equal(F.spvoxelize(rows, torch.zeros(5).int(), torch.tensor([5])), rows[:1])
    assert torch.equal(
        nn.ToBEVReduction(2)(torchsparse.SparseTensor(rows[:2], torch.tensor(SITES[:2]) * 0)).F, rows[:1]
    )


def test_points_become_voxels_and_batches() -> None:
    points = np.array([[0.1, 0.1, 0], [0.9, 0.2, 0], [0.15, 0.1, 0], [-0.1, 3.0, 0]])
    voxels, first, inverse = quantize.sparse_quantize(points, 0.5, return_index=True, return_inverse=True)
    assert voxels.tolist() == [[-1, 6, 0], [0, 0, 0], [1, 0, 0]]
    assert voxels.dtype == np.int32
    assert (first.tolist(), inverse.tolist()) == ([3, 0, 1], [1, 2, 1, 0])
    assert quantize.sparse_quantize(points, (1.0, 1.0, 1.0)).tolist() == [[-1, 3, 0], [0, 0, 0]]
    assert np.array_equal(quantize.sparse_quantize(points, np.float32(0.5)), voxels)
    assert quantize.sparse_quantize(np.zeros((0, 3))).shape == (0, 3)
    x = torchsparse.SparseTensor(points[first], voxels, 2)
    assert sparse_collate([x]).stride == (2, 2, 2)
    batch = sparse_collate_fn([{"input": x, "more": {"n": np.ones(2)}, "name": "a", "t": torch.ones(1)}] * 2)
    assert batch["input"].C.tolist() == [[event, *site] for event in (0, 1) for site in voxels.tolist()]
    assert batch["input"].F.shape == (6, 3)
    assert (batch["more"]["n"].shape, batch["t"].shape, batch["name"]) == ((2, 2), (2, 1), ["a", "a"])
    assert sparse_collate_fn([1, 2]) == [1, 2]
    assert sparse_collate_fn([]) == []
    assert torchsparse.utils.make_divisible(129, 128) == 256
    assert torchsparse.utils.make_ntuple(torch.tensor([1, 2]), 2) == (1, 2)
