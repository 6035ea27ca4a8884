"""Invariants of every convolution on 100,000 sites, far more than the oracle accepts, checked with whole arrays.

Sites are looked up in an image of row numbers, which shares nothing with the engine's keys, sorts and merges.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sscn_triton import SparseTensor, functional
from sscn_triton.core.grid import Grid
from sscn_triton.relation import submanifold_padding

EVENTS, EXTENT, COUNT = 3, 48, 100_000
ONES = (1, 1, 1)
SUBMANIFOLD = [((3, 3, 3), ONES), ((3, 3, 3), (2, 1, 3)), ((2, 3, 4), (1, 2, 1)), ((5, 1, 2), (1, 1, 3))]
WINDOWS = [  # kernel, stride, padding, dilation
    ((2, 2, 2), (2, 2, 2), (0, 0, 0), ONES),
    ((3, 3, 3), (2, 2, 2), ONES, ONES),
    ((3, 2, 4), (2, 3, 1), (2, 0, 1), (1, 2, 1)),
    ((2, 1, 2), (3, 2, 4), (0, 1, 3), ONES),
]


def cloud(seed: int = 0) -> Tensor:
    """Sites of several events, of any sign, in random order."""
    box = (EVENTS, EXTENT, EXTENT, EXTENT)
    chosen = np.random.default_rng(seed).permutation(np.prod(box))[:COUNT]
    return torch.tensor(np.stack(np.unravel_index(chosen, box), 1) - [0, 20, 30, 7])


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Image:
    """The row number of every site in the smallest image that contains all sites; -1 elsewhere."""

    def __init__(self, sites: np.ndarray) -> None:
        self.low, self.high = sites.min(axis=0), sites.max(axis=0)
        self.rows = np.full(self.high - self.low + 1, -1)
        self.rows[tuple((sites - self.low).T)] = np.arange(len(sites))

    def find(self, sites: np.ndarray) -> np.ndarray:
        rows, inside = np.full(len(sites), -1), ((sites >= self.low) & (sites <= self.high)).all(axis=1)
        rows[inside] = self.rows[tuple((sites[inside] - self.low).T)]
        return rows


def moved(sites: np.ndarray, factor: np.ndarray, offset: np.ndarray) -> np.ndarray:
    return np.column_stack([sites[:, :1], sites[:, 1:] * factor + offset])


def offsets(kernel: tuple, padding: tuple, dilation: tuple) -> list[np.ndarray]:
    """dilation * tap - padding of every tap."""
    taps = itertools.product(*map(range, kernel))
    return [np.array(tap) * np.array(dilation) - np.array(padding) for tap in taps]


def check_rules(fine: np.ndarray, coarse: np.ndarray, pairs: list, window: tuple) -> None:
    """Every rule obeys fine = stride * coarse + dilation * tap - padding, and every such pair of sites is a rule."""
    kernel, stride, padding, dilation = window
    assert len(pairs) == np.prod(kernel)
    image = Image(fine)
    for (rows_fine, rows_coarse), offset in zip(pairs, offsets(kernel, padding, dilation), strict=True):
        wanted = moved(coarse, np.array(stride), offset)
        np.testing.assert_array_equal(fine[rows_fine], wanted[rows_coarse])
        assert np.bincount(rows_coarse, minlength=1).max() <= 1
        assert len(rows_coarse) == (image.find(wanted) >= 0).sum()


def numpy_pairs(pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(a.numpy(), b.numpy()) for a, b in pairs]


@pytest.mark.parametrize(("kernel", "dilation"), SUBMANIFOLD, ids=str)
def test_submanifold_rules_are_all_pairs_of_the_relation(kernel: tuple, dilation: tuple) -> None:
    grid = Grid(cloud().int(), None, EVENTS)
    book, sites = grid.submanifold(kernel, dilation), grid.coordinates.numpy()
    window = kernel, ONES, submanifold_padding(kernel, dilation), dilation
    check_rules(sites, sites, numpy_pairs(book.pairs()), window)
    check_rules(sites, sites, [(b, a) for a, b in numpy_pairs(book.transposed().pairs())], window)


def reached(sites: np.ndarray, window: tuple, kind: str, shape: tuple | None) -> np.ndarray:
    """Every site that one of these sites reaches, in lexicographic order."""
    kernel, stride, padding, dilation = window
    found = []
    for offset in offsets(kernel, padding, dilation):
        if kind == "transposed":
            found.append(moved(sites, np.array(stride), offset))
        else:
            whole = moved(sites, np.array(1), -offset)
            whole = whole[(whole[:, 1:] % stride == 0).all(axis=1)]
            found.append(np.column_stack([whole[:, :1], whole[:, 1:] // stride]))
    everything = np.concatenate(found)
    if shape is not None:
        everything = everything[((everything[:, 1:] >= 0) & (everything[:, 1:] < shape)).all(axis=1)]
    image = Image(everything)
    return np.argwhere(image.rows >= 0) + image.low


@pytest.mark.parametrize(
    ("kind", "window", "bounded"),
    [
        *(("strided", window, False) for window in WINDOWS),
        *(("strided", window, True) for window in WINDOWS[1:3]),
        *(("transposed", window, False) for window in WINDOWS[:2]),
        ("transposed", WINDOWS[2], True),
    ],
    ids=str,
)
def test_rules_to_all_reached_sites_are_all_pairs_of_the_relation(kind: str, window: tuple, bounded: bool) -> None:
    sites = (cloud() + torch.tensor([0, 20, 30, 7]) * bounded).int()
    grid = Grid(sites, (EXTENT,) * 3 if bounded else None, EVENTS)
    make = (
        functional.strided_step
        if kind == "strided"
        else lambda n, k, s, p, d: functional.transposed_step(n, k, s, p, 0, d)
    )
    book, there = grid.step(make(3, *window))
    ends = grid.coordinates.numpy(), there.coordinates.numpy()
    np.testing.assert_array_equal(ends[1], reached(ends[0], window, kind, there.spatial_shape))
    for rules, reading in ((book, 1), (book.transposed(), -1)):
        pairs = [pair[::reading] for pair in numpy_pairs(rules.pairs())]
        if kind == "transposed":
            check_rules(ends[1], ends[0], [(b, a) for a, b in pairs], window)
        else:
            check_rules(*ends, pairs, window)


def turned(weight: Tensor) -> Tensor:
    return weight.transpose(-1, -2)


def tensor(sites: Tensor, channels: int = 4) -> SparseTensor:
    return SparseTensor(normal(1, len(sites), channels), sites, batch_size=EVENTS)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_strided_convolution_is_adjoint_to_inverse_and_transposed_to_strided(window: tuple) -> None:
    """<conv(x, w), y> = <x, inverse conv(y, w transposed)>, for any x and y."""
    geometry = dict(zip(("kernel_size", "stride", "padding", "dilation"), window, strict=True))
    x, w = tensor(cloud()), normal(2, int(np.prod(window[0])), 2, 2, 3)
    there = functional.sparse_conv(x, w, **geometry)
    y = there.replace(normal(3, len(there), 6))
    back = functional.inverse_conv(y, turned(w), **geometry)
    torch.testing.assert_close((there.features * y.features).sum(), (x.features * back.features).sum())
    there = functional.transposed_conv(x, w, **geometry)
    y = normal(3, len(there), 6)
    back = functional.sparse_conv(SparseTensor(y, there.coordinates, batch_size=EVENTS), turned(w), **geometry)
    rows = Image(back.coordinates.numpy()).find(x.coordinates.numpy())
    torch.testing.assert_close((there.features * y).sum(), (x.features * back.features[rows]).sum())


@pytest.mark.parametrize(("kernel", "dilation"), [SUBMANIFOLD[0], SUBMANIFOLD[1]], ids=str)
def test_an_odd_submanifold_convolution_is_adjoint_to_its_mirror_image(kernel: tuple, dilation: tuple) -> None:
    x, w = tensor(cloud()), normal(2, 27, 4, 6)
    y = x.replace(normal(3, len(x), 6))
    there = functional.submanifold_conv(x, w, kernel_size=kernel, dilation=dilation)
    back = functional.submanifold_conv(y, turned(w).flip(0), kernel_size=kernel, dilation=dilation)
    torch.testing.assert_close((there.features * y.features).sum(), (x.features * back.features).sum())


Layer = Callable[[SparseTensor], SparseTensor]
OVERLAP = {"kernel_size": 3, "stride": 2, "padding": 1}


def down(x: SparseTensor) -> SparseTensor:
    return functional.sparse_conv(x, normal(5, 27, 4, 6), **OVERLAP)


LAYERS: dict[str, Layer] = {
    "submanifold": lambda x: functional.submanifold_conv(x, normal(2, 27, 4, 6), kernel_size=3),
    "submanifold, even": lambda x: functional.submanifold_conv(
        x, normal(3, 24, 4, 2), kernel_size=(2, 3, 4), dilation=2
    ),
    "strided": down,
    "inverse": lambda x: functional.inverse_conv(down(x), normal(6, 27, 6, 4), **OVERLAP),
    "transposed": lambda x: functional.transposed_conv(x, normal(7, 8, 4, 2), kernel_size=2, stride=2),
    "largest": lambda x: functional.max_pool(x, **OVERLAP),
    "mean": lambda x: functional.average_pool(x, **OVERLAP),
    "unpooled": lambda x: functional.unpool(functional.max_pool(x, **OVERLAP), **OVERLAP),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


@every_layer
def test_the_gradients_of_a_linear_layer_are_adjoint_to_it(layer: Layer) -> None:
    """<y(x), g> = <x, dL/dx>, because y is linear in x; for the maximum, because its choice does not change."""
    x = tensor(cloud())
    leaf = x.features.requires_grad_()
    y = layer(x).features
    g = normal(9, *y.shape)
    (by_x,) = torch.autograd.grad(y, leaf, g)
    torch.testing.assert_close((y * g).sum(), (leaf * by_x).sum())


@every_layer
def test_moving_all_sites_moves_the_outputs_and_changes_no_bit(layer: Layer) -> None:
    """By any step for layers of stride 1, by whole strides for the others."""
    step = torch.tensor([0, 10, -(10**6), 2 * 10**6])
    x, name = tensor(cloud()), next(name for name in LAYERS if LAYERS[name] is layer)
    here, there = layer(x), layer(tensor(cloud() + step))
    assert torch.equal(here.features, there.features)
    outputs_step = {"transposed": 2 * step, **dict.fromkeys(("strided", "largest", "mean"), step // 2)}.get(name, step)
    assert torch.equal(here.coordinates + outputs_step, there.coordinates)


@every_layer
def test_events_do_not_influence_each_other(layer: Layer) -> None:
    x = tensor(cloud())
    together = layer(x)
    for event in range(EVENTS):
        rows = x.coordinates[:, 0] == event
        alone = layer(SparseTensor(x.features[rows], x.coordinates[rows], batch_size=EVENTS))
        assert torch.equal(alone.features, together.features[together.coordinates[:, 0] == event])


@every_layer
def test_the_order_of_the_rows_changes_the_order_of_the_outputs_and_no_bit(layer: Layer) -> None:
    x, order = tensor(cloud()), torch.randperm(COUNT)
    here, there = layer(x), layer(SparseTensor(x.features[order], x.coordinates[order], batch_size=EVENTS))
    rows = slice(None) if here.grid is not x.grid else order
    assert torch.equal(here.coordinates[rows], there.coordinates)
    assert torch.equal(here.features[rows], there.features)


@every_layer
def test_the_same_bits_twice_and_with_one_or_two_threads(layer: Layer) -> None:
    def results(threads: int) -> list[Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            x = tensor(cloud())
            leaf = x.features.requires_grad_()
            y = layer(x).features
            return [y, *torch.autograd.grad(y.square().sum(), leaf)]
        finally:
            torch.set_num_threads(before)

    first = results(2)
    for again in (results(2), results(1)):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
