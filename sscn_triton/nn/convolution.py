"""Convolution layers."""

from __future__ import annotations

import math

import torch

from sscn_triton import functional
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional import NOTHING, Fused, transposed_step
from sscn_triton.nn.checks import expect
from sscn_triton.nn.own_forward import own_forward
from sscn_triton.relation import MAX_NDIM, Size, as_int_or_tuple, one_integer, per_axis, volume


class Convolution(torch.nn.Module):
    """The common part of the convolution layers: a weight ``[V, groups, in / groups, out / groups]`` and a bias.

    Initial weights are normal with standard deviation ``sqrt(2 / fan_in)``, ``fan_in = V * in / groups`` (He et al.,
    arXiv:1502.01852, and the engine of the 2018 study); the initial bias is zero. `sscn_triton.nn.init` has other
    initialisers; `torch.nn.init` does not know the meaning of the axes.

    Utilities of PyTorch that work on one axis of a weight use the first by default, which here is the taps. Pass the
    last, the output channels: ``torch.nn.utils.parametrizations.weight_norm(layer, dim=3)``,
    ``spectral_norm(layer, dim=3)``, ``torch.nn.utils.prune.ln_structured(layer, "weight", 0.5, n=2, dim=3)``. They do
    not know groups: with several groups, an index on that axis is one channel of every group.

    Args:
        in_channels, out_channels: positive multiples of ``groups``.
        kernel_size: extent of the kernel, one number or one per axis.
        dilation: distance between taps.
        groups: channel groups that do not mix; ``groups == in_channels`` is a depthwise convolution.
        bias: whether a learnt constant is added.
        ndim: number of spatial axes; by default the length of ``kernel_size`` if that is a sequence, else 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        ndim: int | None = None,
    ) -> None:
        super().__init__()
        if ndim is None:
            axes = as_int_or_tuple(kernel_size)
            ndim = len(axes) if isinstance(axes, tuple) else 3
        self.ndim = one_integer(ndim, "ndim", 1)
        if self.ndim > MAX_NDIM:
            raise ValueError(f"ndim must be 1 to {MAX_NDIM}, got {ndim}")
        self.groups = one_integer(groups, "groups", 1)
        self.in_channels = one_integer(in_channels, "in_channels", 1)
        self.out_channels = one_integer(out_channels, "out_channels", 1)
        if not isinstance(bias, bool):
            raise TypeError(f"bias must be True or False, got {bias!r}")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"in_channels and out_channels must be multiples of groups = {groups}, "
                f"got {in_channels} and {out_channels}"
            )
        self.kernel_size = per_axis(kernel_size, self.ndim, "kernel_size", 1)
        self.dilation = per_axis(dilation, self.ndim, "dilation", 1)
        channels = (self.in_channels // self.groups, self.out_channels // self.groups)
        shape = (volume(self.kernel_size), self.groups, *channels)
        self.weight = torch.nn.Parameter(torch.empty(shape))
        self.bias = torch.nn.Parameter(torch.empty(self.out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        taps, _, fan, _ = self.weight.shape
        torch.nn.init.normal_(self.weight, std=math.sqrt(2 / (taps * fan)))
        if self.bias is not None:
            torch.nn.init.zeros_(self.bias)

    def geometry(self) -> dict[str, tuple[int, ...]]:
        """The arguments that determine the rulebook."""
        return {"kernel_size": self.kernel_size, "dilation": self.dilation}

    def extra_repr(self) -> str:
        shown = [f"{self.in_channels}, {self.out_channels}"]
        shown += [f"{name}={value}" for name, value in self.geometry().items()]
        return ", ".join([*shown, f"groups={self.groups}, bias={self.bias is not None}"])


class SubmanifoldConv(Convolution):
    """Convolution whose output sites are its input sites; the kernel is centred. Arguments: `Convolution`."""

    @own_forward
    def forward(self, x: SparseTensor, along: Fused = NOTHING) -> SparseTensor:
        expect(self, x, self.in_channels, self.ndim)
        return functional.submanifold_conv(x, self.weight, self.bias, **self.geometry(), along=along)


class StridedConvolution(Convolution):
    """The common part of the layers that change the sites: stride and padding, one number or one per axis."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        *,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        ndim: int | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, groups=groups, bias=bias, ndim=ndim)
        self.stride = per_axis(stride, self.ndim, "stride", 1)
        self.padding = per_axis(padding, self.ndim, "padding", 0)

    def geometry(self) -> dict[str, tuple[int, ...]]:
        """The arguments that determine the rulebook."""
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
        }


class SparseConv(StridedConvolution):
    """Convolution to every site that some input reaches. Arguments: `StridedConvolution`, `Convolution`."""

    @own_forward
    def forward(self, x: SparseTensor, along: Fused = NOTHING) -> SparseTensor:
        expect(self, x, self.in_channels, self.ndim)
        return functional.sparse_conv(x, self.weight, self.bias, **self.geometry(), along=along)


class InverseConv(StridedConvolution):
    """The `SparseConv` of the same geometry read backwards, onto its input sites.

    Takes the geometry of the layer that it inverts; forward raises ValueError for another one.
    """

    @own_forward
    def forward(self, x: SparseTensor, along: Fused = NOTHING) -> SparseTensor:
        expect(self, x, self.in_channels, self.ndim)
        return functional.inverse_conv(x, self.weight, self.bias, **self.geometry(), along=along)


class TransposedConv(StridedConvolution):
    """The relation read backwards onto every site reached: ``output = stride * input + dilation * tap - padding``.

    `torch.nn.ConvTranspose3d` on active sites. Unlike `InverseConv` it needs no layer to
    invert and makes new sites; no `InverseConv` can go back over it.

    Args:
        output_padding: added to the far end of the output's spatial shape, less than stride or dilation; refused for a
            tensor without a spatial shape. Other arguments: `StridedConvolution`, `Convolution`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        *,
        padding: Size = 0,
        output_padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        ndim: int | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            ndim=ndim,
        )
        step = transposed_step(self.ndim, **super().geometry(), output_padding=output_padding)
        self.output_padding = step.output_padding

    def geometry(self) -> dict[str, tuple[int, ...]]:
        """The arguments that determine the rulebook."""
        return {**super().geometry(), "output_padding": self.output_padding}

    @own_forward
    def forward(self, x: SparseTensor, along: Fused = NOTHING) -> SparseTensor:
        expect(self, x, self.in_channels, self.ndim)
        return functional.transposed_conv(x, self.weight, self.bias, **self.geometry(), along=along)
