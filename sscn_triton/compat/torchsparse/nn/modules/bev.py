"""Layers that look from above: they join the sites that differ along one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sscn_triton.compat.torchsparse.nn.utils.apply import expect_events
from sscn_triton.compat.torchsparse.tensor import SparseTensor
from sscn_triton.compat.torchsparse.utils.utils import three
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import sort_events, sum_events
from sscn_triton.relation import one_integer


def _axis(dim: int) -> int:
    if one_integer(dim, "dim", 0) > 2:
        raise ValueError(f"dim must be 0, 1 or 2, got {dim}")
    return dim


def _joined(feats: Tensor, coords: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The sums of the features by place, the places in lexicographic order, and the rows of each."""
    places, place = coords.unique(dim=0, return_inverse=True)
    rows = sort_events(place, len(places))
    return sum_events(widened(feats), rows), places, rows


class ToBEVReduction(torch.nn.Module):
    """The mean of the sites that differ along one axis, at coordinate 0 of that axis.

    Args:
        dim: the axis, 0 to 2 for x to z.
    """

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = _axis(dim)

    def forward(self, input: SparseTensor) -> SparseTensor:
        x = expect_events(input, "ToBEVReduction")
        coords = x.coords.index_fill(1, torch.tensor([1 + self.dim], device=x.coords.device), 0)
        sums, places, rows = _joined(x.feats, coords)
        counts = sum_events(torch.ones_like(sums[:, :1]).index_select(0, rows[0]), rows)
        return SparseTensor((sums / counts).to(x.feats.dtype), places, x.stride)

    def extra_repr(self) -> str:
        return f"dim = {self.dim}"


class _Planes(torch.nn.Module):
    """A matrix for each coordinate of one axis: ``kernel`` ``[n_kernels, in, out]`` and ``bias`` ``[1, out]``, which
    is added at every site."""

    def _draw(self, in_channels: int, out_channels: int, n_kernels: int, dim: int, bias: bool) -> None:
        self.in_channels = one_integer(in_channels, "in_channels", 1)
        self.out_channels, self.n_kernels, self.dim = out_channels, one_integer(n_kernels, "n_kernels", 1), _axis(dim)
        self.kernel = torch.nn.Parameter(torch.zeros(n_kernels, in_channels, out_channels))
        self.bias: Any = torch.nn.Parameter(torch.zeros(1, out_channels)) if bias else 0
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial kernel again, uniform within ``1 / sqrt(in)``."""
        bound = 1 / math.sqrt(self.in_channels)
        torch.nn.init.uniform_(self.kernel, -bound, bound)

    def _products(self, x: SparseTensor) -> Tensor:
        """The features of every site times the matrix of its coordinate, plus the bias."""
        height = x.coords[:, 1 + self.dim].long()
        if len(height) and not 0 <= int(height.min()) <= int(height.max()) < self.n_kernels:
            raise ValueError(
                f"coordinates of axis {self.dim} must be from 0 to {self.n_kernels - 1}, the number of kernels, got "
                f"{int(height.min())} to {int(height.max())}"
            )
        products = x.feats.new_zeros(len(height), self.out_channels)
        for number in height.unique().tolist():
            rows = (height == number).nonzero()[:, 0]
            products = products.index_copy(0, rows, x.feats[rows] @ self.kernel[number])
        return products + self.bias

    def extra_repr(self) -> str:
        return f"in_channels={self.in_channels}, out_channels={self.out_channels}, n_kernels={self.n_kernels}"


class ToBEVConvolution(_Planes):
    """The sum over the sites that differ along one axis, each times the matrix of its coordinate, at coordinate 0.

    Args:
        in_channels, out_channels: channels of a row.
        n_kernels: number of coordinates of the axis, in units of the tensor's stride.
        stride: by which the coordinates of all axes are divided, rounding down.
        dim: the axis, 0 to 2 for x to z.
        bias: whether a learnt constant is added at every site before the sum; it starts at 0.
    """

    def __init__(
        self, in_channels: int, out_channels: int, n_kernels: int, stride: int = 1, dim: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.stride = one_integer(stride, "stride", 1)
        self._draw(in_channels, out_channels, n_kernels, dim, bias)

    def forward(self, input: SparseTensor) -> SparseTensor:
        x = expect_events(input, "ToBEVConvolution", self.in_channels)
        divisors = torch.tensor([1] + [self.stride] * 3, dtype=x.coords.dtype, device=x.coords.device)
        coords = x.coords.div(divisors, rounding_mode="floor")
        coords[:, 1 + self.dim] = 0
        sums, places, _ = _joined(self._products(x), coords)
        return SparseTensor(sums.to(x.feats.dtype), places, tuple(s * self.stride for s in x.stride))


class _Image:
    """The place of a site in an image of the two other axes."""

    shape: Tensor
    offset: Tensor
    dim: int
    register_buffer: Any

    def _place(self, shape: Sequence[int] | Tensor, offset: Sequence[int] | Tensor, dim: int) -> None:
        extents = three(shape, "shape", 1)
        first = offset.tolist() if isinstance(offset, Tensor) else list(offset)
        if len(first) != 3:
            raise ValueError(f"offset must be three numbers, got {offset!r}")
        self.register_buffer("offset", torch.tensor([[*first, 0]], dtype=torch.int32))
        self.register_buffer("shape", torch.tensor(extents, dtype=torch.int32))
        self.dim = _axis(dim)

    def _sites(self, x: SparseTensor) -> Tensor:
        """``[N, 4]`` int64: batch index, the two axes of the image, and the third, all from the offset on."""
        offset = self.offset[0, :3].long()
        if offset.any() and x.stride != (1, 1, 1):
            raise ValueError(
                f"offset {offset.tolist()} needs a tensor of stride 1, got {x.stride}: torchsparse 1 counts an offset "
                "in voxels, 2.1 its coordinates in units of the stride; subtract it from the coordinates"
            )
        around = [axis for axis in range(3) if axis != self.dim]
        sites = x.coords.long() - torch.nn.functional.pad(offset, (1, 0))
        sites = sites[:, [0, *(1 + axis for axis in around), 1 + self.dim]]
        if ((sites[:, 1:3] < 0) | (sites[:, 1:3] >= self.shape[around])).any():
            raise ValueError(
                f"coordinates of axes {around} must be from 0 to below {self.shape[around].tolist()} after the offset, "
                f"got {sites[:, 1:3].amin(0).tolist()} to {sites[:, 1:3].amax(0).tolist()}"
            )
        return sites

    def _image(self, feats: Tensor, sites: Tensor, depth: int) -> Tensor:
        """``[B, depth * C, *axes]``: the sums of the features at each of the sites ``[N, 4]``."""
        height, width = (int(n) for axis, n in enumerate(self.shape) if axis != self.dim)
        count = int(sites[:, 0].max()) + 1 if len(sites) else 0
        places = ((sites[:, 0] * height + sites[:, 1]) * width + sites[:, 2]) * depth + sites[:, 3]
        sums = sum_events(feats, sort_events(places, count * height * width * depth))
        return sums.view(count, height, width, depth * feats.shape[1]).permute(0, 3, 1, 2).contiguous()


class ToDenseBEVConvolution(_Image, _Planes):
    """`ToBEVConvolution` as an image ``[B, out, *axes]`` of the two other axes.

    Args:
        in_channels, out_channels: channels of a row.
        shape: extents of the three axes in units of the tensor's stride; that of the axis ``dim`` is the number of
            matrices, which are counted from coordinate 0, whatever the offset is.
        offset: the coordinates of the first place of the image; 0 unless the tensor's stride is 1.
        dim: the axis, 0 to 2 for x to z.
        bias: whether a learnt constant is added at every site before the sum; it starts at 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        shape: Sequence[int] | Tensor,
        offset: Sequence[int] | Tensor = (0, 0, 0),
        dim: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self._place(shape, offset, dim)
        self._draw(in_channels, out_channels, int(self.shape[dim]), dim, bias)

    def forward(self, input: SparseTensor) -> Tensor:
        x = expect_events(input, "ToDenseBEVConvolution", self.in_channels)
        sites = self._sites(x)
        sites[:, 3] = 0
        return self._image(self._products(x), sites, 1)


class ToBEVHeightCompression(_Image, torch.nn.Module):
    """An image ``[B, n * channels, *axes]`` of the two other axes, in which the n coordinates of one axis follow each
    other as groups of channels.

    Args:
        channels: channels of a row.
        shape: extents of the three axes in units of the tensor's stride.
        offset: the coordinates of the first place; 0 unless the tensor's stride is 1.
        dim: the axis, 0 to 2 for x to z. Its coordinates are moved into its extent; sites that coincide are added.
    """

    def __init__(
        self,
        channels: int,
        shape: Sequence[int] | Tensor,
        offset: Sequence[int] | Tensor = (0, 0, 0),
        dim: int = 1,
    ) -> None:
        super().__init__()
        self.channels = one_integer(channels, "channels", 1)
        self._place(shape, offset, dim)

    def forward(self, input: SparseTensor) -> Tensor:
        x = expect_events(input, "ToBEVHeightCompression", self.channels)
        sites, depth = self._sites(x), int(self.shape[self.dim])
        sites[:, 3] = sites[:, 3].clamp(0, depth - 1)
        return self._image(x.feats, sites, depth)

    def extra_repr(self) -> str:
        return f"channels={self.channels}"
