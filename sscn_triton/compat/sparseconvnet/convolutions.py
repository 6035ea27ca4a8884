"""Convolutions with SparseConvNet's arguments, initial weights and parameter names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor, functional
from sscn_triton.compat.sparseconvnet.counts import count, multiply_adds
from sscn_triton.compat.sparseconvnet.metadata import Metadata, same_sites
from sscn_triton.compat.sparseconvnet.sizes import Size, SizeError, axes, shown, size_after, size_before, toLongTensor
from sscn_triton.compat.sparseconvnet.tensor import SparseConvNetTensor, follow, sparse
from sscn_triton.core.grid import Step
from sscn_triton.functional import convolve, strided_step, transposed_step


class _Convolution(torch.nn.Module):
    """Weight ``[V, groups, nIn / groups, nOut / groups]``, normal with std ``sqrt(2 groups / (nIn V))``; bias zero."""

    bias: Tensor | None

    def __init__(self, dimension: int, nIn: int, nOut: int, filter_size: Size, bias: bool, groups: int) -> None:
        super().__init__()
        self.dimension = Metadata(dimension).dimension
        if groups < 1 or nIn < 1 or nOut < 1 or nIn % groups or nOut % groups:
            raise ValueError(f"nIn and nOut must be positive multiples of groups = {groups}, got {nIn} and {nOut}")
        self.groups, self.nIn, self.nOut = groups, nIn, nOut
        self.filter_size = _positive(dimension, filter_size, "filter_size")
        self.filter_volume = int(self.filter_size.prod())
        std = (2.0 * groups / nIn / self.filter_volume) ** 0.5
        shape = (self.filter_volume, groups, nIn // groups, nOut // groups)
        self.weight = torch.nn.Parameter(torch.empty(shape).normal_(0, std))
        if bias:
            self.bias = torch.nn.Parameter(torch.zeros(nOut))

    @property
    def _bias(self) -> Tensor | None:
        return getattr(self, "bias", None)

    def __repr__(self) -> str:
        size = shown(self.filter_size, getattr(self, "filter_stride", None))
        return f"{type(self).__name__} {self.nIn}->{self.nOut} C{size}"


class SubmanifoldConvolution(_Convolution):
    """Output sites are the input's; an even filter reaches one site further to the lower side.

    Args:
        dimension: number of spatial axes.
        nIn, nOut: feature planes, multiples of ``groups``.
        filter_size: one number or one per axis.
        bias: whether a learnt constant is added.
        groups: groups of planes that do not mix.
    """

    def __init__(self, dimension: int, nIn: int, nOut: int, filter_size: Size, bias: bool, groups: int = 1) -> None:
        super().__init__(dimension, nIn, nOut, filter_size, bias, groups)

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        x = sparse(self, input, self.nIn)
        rules = x.grid.submanifold(axes(self.filter_size), (1,) * x.ndim)
        weight: Tensor = self.weight
        if (self.filter_size % 2 == 0).any():
            # The window lies filter // 2 below the site, the library's (filter - 1) // 2: they are mirror images.
            rules, weight = rules.transposed(), weight.flip(0)
        output = convolve(x.features, weight, self._bias, rules)
        count(multiply_adds(rules, weight), output)
        return input.with_features(output)

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size itself."""
        return out_size


class ValidConvolution(SubmanifoldConvolution):
    """Another name of `SubmanifoldConvolution`."""


class _Strided(_Convolution):
    def __init__(
        self, dimension: int, nIn: int, nOut: int, filter_size: Size, filter_stride: Size, bias: bool, groups: int = 1
    ) -> None:
        super().__init__(dimension, nIn, nOut, filter_size, bias, groups)
        self.filter_stride = _positive(dimension, filter_stride, "filter_stride")

    @property
    def _sizes(self) -> dict[str, Any]:
        return {"kernel_size": axes(self.filter_size), "stride": axes(self.filter_stride)}

    def _back(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        """The `Convolution` of these sizes read backwards, onto its input sites."""
        x = back(self, input, self.filter_size, self.filter_stride, self.nIn)
        y = functional.inverse_conv(x, self.weight, self._bias, **self._sizes)
        fine, step = x.path[-1]
        count(multiply_adds(fine.step(step)[0], self.weight), y.features)
        return follow(input, y)

    def _full(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        """The transposed convolution onto every site reached, with a new metadata."""
        x = sparse(self, input, self.nIn)
        y = functional.transposed_conv(x, self.weight, self._bias, **self._sizes)
        step = transposed_step(x.ndim, **self._sizes, padding=0, output_padding=0, dilation=1)
        count(multiply_adds(x.grid.step(step)[0], self.weight), y.features)
        return follow(SparseConvNetTensor(metadata=Metadata(self.dimension)), y)


class Convolution(_Strided):
    """Convolution to every site that some input reaches; the filters must cover the spatial size exactly.

    Args:
        filter_stride: one number or one per axis. Other arguments: `SubmanifoldConvolution`.
    """

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        x = sparse(self, input, self.nIn)
        size_after(input.spatial_size, self.filter_size, self.filter_stride)
        y = functional.sparse_conv(x, self.weight, self._bias, **self._sizes)
        fine, step = y.path[-1]
        count(multiply_adds(fine.step(step)[0], self.weight), y.features)
        return follow(input, y)

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """``(out - 1) * stride + filter``."""
        return size_before(out_size, self.filter_size, self.filter_stride)


class _Growing(_Strided):
    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """``(out - filter) / stride + 1``, which must be an integer."""
        return size_after(out_size, self.filter_size, self.filter_stride)


class Deconvolution(_Growing):
    """The `Convolution` of the same sizes read backwards, onto its input sites. Arguments: `Convolution`."""

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        return self._back(input)

    def fullForward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        """The output of a `FullConvolution` with these weights."""
        return self._full(input)


class FullConvolution(_Growing):
    """The transposed convolution onto every site reached, which starts a new metadata.

    Arguments: `Convolution`.
    """

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        return self._full(input)

    def deconvolutionForward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        """The output of a `Deconvolution` with these weights."""
        return self._back(input)


class TransposeConvolution(FullConvolution):
    """Another name of `FullConvolution`."""


def back(
    layer: torch.nn.Module,
    input: SparseConvNetTensor,
    filter_size: Tensor,
    filter_stride: Tensor,
    planes: int | None = None,
) -> SparseTensor:
    """The library's tensor for ``input``, with a path to the sites from which a layer of these sizes reached it.

    Raises SizeError if the network has no sites of that size, or if such a layer does not lead from them to ``input``.
    """
    x = sparse(layer, input, planes)
    fine = input.metadata.grid(size_before(input.spatial_size, filter_size, filter_stride), x.device)
    step: Step = strided_step(x.ndim, axes(filter_size), axes(filter_stride), 0, 1)
    reached = fine.step(step)[1]
    if not same_sites(reached, x.grid):
        raise SizeError(
            f"{type(layer).__name__} with filter size {axes(filter_size)} and stride {axes(filter_stride)} inverts the "
            "layer of these sizes, but no such layer reached this tensor's sites; FullConvolution needs none"
        )
    return SparseTensor.on(x.features, reached, ((fine, step),))


def _positive(dimension: int, value: Size, name: str) -> Tensor:
    sizes = toLongTensor(dimension, value)
    if (sizes < 1).any():
        raise ValueError(f"{name} must be at least 1 on every axis, got {axes(sizes)}")
    return sizes
