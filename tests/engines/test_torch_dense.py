"""On sparse images, every convolution and its gradients equal PyTorch's dense ones at active sites."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as dense

from sscn_triton import SparseTensor, functional
from sscn_triton.relation import submanifold_padding
from tests.support.clouds import random_sites

CONV = {1: dense.conv1d, 2: dense.conv2d, 3: dense.conv3d}
CONV_TRANSPOSE = {1: dense.conv_transpose1d, 2: dense.conv_transpose2d, 3: dense.conv_transpose3d}


class Window(NamedTuple):
    """Settings of three axes; convolutions with fewer axes take the first ones."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int

    def first(self, ndim: int) -> dict[str, tuple[int, ...]]:
        return {name: value[:ndim] for name, value in self._asdict().items() if name != "groups"}


WINDOWS = [
    Window((3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), (0, 0, 0), 1),
    Window((2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 1, 1), (0, 1, 0), 2),
    Window((3, 2, 3), (2, 1, 3), (1, 2, 0), (1, 3, 2), (1, 2, 1), 4),
    Window((4, 5, 1), (3, 2, 4), (3, 1, 1), (1, 1, 1), (2, 0, 1), 1),
    Window((1, 4, 2), (1, 1, 2), (0, 3, 2), (2, 1, 3), (0, 0, 1), 2),
]
SIZE = 9


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def image_of(features: Tensor, x: SparseTensor) -> Tensor:
    """[batch, C, *shape], differentiable in features; zero at inactive sites."""
    batch, *place = x.coordinates.long().unbind(1)
    image = torch.zeros(x.batch_size, *x.spatial_shape, features.shape[1], dtype=features.dtype)
    return image.index_put((batch, *place), features).movedim(-1, 1)


def rows_of(image: Tensor, y: SparseTensor) -> Tensor:
    """The values of the image at the sites of y."""
    batch, *place = y.coordinates.long().unbind(1)
    return image.movedim(1, -1)[(batch, *place)]


def kernel_of(weight: Tensor, kernel_size: tuple[int, ...], transposed: bool) -> Tensor:
    """[V, G, I, O] in PyTorch's layout: [G * O, I, *kernel], or [G * I, O, *kernel] for a transposed convolution."""
    _, groups, width_in, width_out = weight.shape
    if transposed:
        return weight.permute(1, 2, 3, 0).reshape(groups * width_in, width_out, *kernel_size)
    return weight.permute(1, 3, 2, 0).reshape(groups * width_out, width_in, *kernel_size)


def check(x: SparseTensor, y: SparseTensor, wanted: Tensor, leaves: list[Tensor]) -> None:
    """Check that values and gradients of y equal those of the image at the sites of y."""
    here = rows_of(wanted, y)
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(y.features, here, **close)
    g = torch.randn_like(here)
    for mine, theirs in zip(*(torch.autograd.grad(out, leaves, g) for out in (y.features, here)), strict=True):
        torch.testing.assert_close(mine, theirs, **close)


def check_rest(y: SparseTensor, wanted: Tensor, bias: Tensor) -> None:
    """Where y has no site, the image contains only the bias."""
    assert y.spatial_shape == wanted.shape[2:]
    rest = image_of(torch.ones(len(y), 1), y)[:, 0] == 0
    torch.testing.assert_close(wanted.movedim(1, -1)[rest], bias.expand(int(rest.sum()), -1))


def setting(ndim: int, window: Window) -> tuple[SparseTensor, list[Tensor]]:
    """A sparse tensor and the leaves: its features, weight and bias."""
    torch.manual_seed(0)
    sites = random_sites({1: 8, 2: 40, 3: 90}[ndim], ndim, SIZE)
    taps = int(np.prod(window.kernel_size[:ndim]))
    leaves = [drawn(len(sites), 4), drawn(taps, window.groups, 4 // window.groups, 8 // window.groups), drawn(8)]
    return SparseTensor(leaves[0], sites, SIZE, batch_size=3), leaves


every_window = pytest.mark.parametrize("window", WINDOWS, ids=str)
every_ndim = pytest.mark.parametrize("ndim", [1, 2, 3])


@every_ndim
@every_window
def test_submanifold(ndim: int, window: Window) -> None:
    geometry = window.first(ndim)
    kernel, dilation = geometry["kernel_size"], geometry["dilation"]
    x, leaves = setting(ndim, window)
    y = functional.submanifold_conv(x, *leaves[1:], kernel_size=kernel, dilation=dilation)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    left = submanifold_padding(kernel, dilation)
    sides = [side for a, b in zip(left, reach, strict=True) for side in (b - a, a)]
    image = dense.pad(image_of(leaves[0], x), sides[::-1])  # the last axis first, each left and right
    wanted = CONV[ndim](image, kernel_of(leaves[1], kernel, False), leaves[2], 1, 0, dilation, window.groups)
    check(x, y, wanted, leaves)


@every_ndim
@every_window
def test_strided(ndim: int, window: Window) -> None:
    geometry = window.first(ndim)
    del geometry["output_padding"]
    x, leaves = setting(ndim, window)
    y = functional.sparse_conv(x, *leaves[1:], **geometry)
    kernel, *others = geometry.values()
    wanted = CONV[ndim](image_of(leaves[0], x), kernel_of(leaves[1], kernel, False), leaves[2], *others, window.groups)
    check(x, y, wanted, leaves)
    check_rest(y, wanted, leaves[2])


@every_ndim
@every_window
def test_transposed(ndim: int, window: Window) -> None:
    geometry = window.first(ndim)
    x, leaves = setting(ndim, window)
    y = functional.transposed_conv(x, *leaves[1:], **geometry)
    kernel, stride, padding, dilation, extra = geometry.values()
    kernels = kernel_of(leaves[1], kernel, True)
    wanted = CONV_TRANSPOSE[ndim](
        image_of(leaves[0], x), kernels, leaves[2], stride, padding, extra, window.groups, dilation
    )
    check(x, y, wanted, leaves)
    check_rest(y, wanted, leaves[2])


@every_ndim
@every_window
def test_inverse(ndim: int, window: Window) -> None:
    geometry = window.first(ndim)
    del geometry["output_padding"]
    fine, leaves = setting(ndim, window)
    coarse = functional.sparse_conv(fine, torch.ones(len(leaves[1]), 4, 4, dtype=torch.float64), **geometry)
    leaves[0] = drawn(len(coarse), 4)
    coarse = coarse.replace(leaves[0])
    y = functional.inverse_conv(coarse, *leaves[1:], **geometry)
    kernel, stride, padding, dilation = geometry.values()
    settings = zip(coarse.spatial_shape, kernel, stride, padding, dilation, strict=True)
    extra = [SIZE - ((n - 1) * s - 2 * p + d * (k - 1) + 1) for n, k, s, p, d in settings]
    kernels = kernel_of(leaves[1], kernel, True)
    wanted = CONV_TRANSPOSE[ndim](
        image_of(leaves[0], coarse), kernels, leaves[2], stride, padding, extra, window.groups, dilation
    )
    check(coarse, y, wanted, leaves)
    assert y.grid is fine.grid
