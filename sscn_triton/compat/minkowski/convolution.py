"""Convolutions with MinkowskiEngine's arguments, kernels, initial weights and parameter names."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor as Values

from sscn_triton.compat.minkowski.layers import Windowed, expect, key_of
from sscn_triton.compat.minkowski.maps.grids import Rules
from sscn_triton.compat.minkowski.maps.kernels import KernelGenerator
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey, StrideType
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.maps.weights import by_tap
from sscn_triton.compat.minkowski.settings import ConvolutionMode, expect_choice
from sscn_triton.functional import convolve
from sscn_triton.relation import one_integer


class _Kernel(Windowed):
    """A ``kernel``, and optionally a ``bias`` ``[1, out]``, both uniform within ``1 / sqrt(fan)``."""

    kernel: torch.nn.Parameter
    bias: torch.nn.Parameter | None

    def _draw(self, shape: tuple[int, ...], out_channels: int, fan: int, bias: bool) -> None:
        self._bound = 1 / math.sqrt(max(fan * self.kernel_generator.kernel_volume, 1))
        self.kernel = torch.nn.Parameter(torch.empty(shape))
        self.bias = torch.nn.Parameter(torch.empty(1, out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial weights again."""
        for parameter in (self.kernel, self.bias):
            if parameter is not None:
                torch.nn.init.uniform_(parameter, -self._bound, self._bound)

    def _convolved(self, features: Values, kernel: Values, rules: Rules) -> Values:
        """``kernel`` is ``[V, groups, in, out]`` in MinkowskiEngine's order."""
        return convolved(features, kernel, rules, self.kernel_generator, self.bias)


class MinkowskiConvolutionBase(_Kernel):
    """Convolution to the sites ``floor(input / stride)``, or to other ones.

    Args:
        in_channels, out_channels: channels of a row.
        kernel_size, stride, dilation, kernel_generator, dimension: as in `Windowed`.
        bias: whether a learnt constant is added.
        is_transpose: read the kernel backwards, from the coarse sites to the fine ones.
        expand_coordinates: lead to every site reached.
        convolution_mode: has no effect; there is one algorithm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        bias: bool = False,
        kernel_generator: KernelGenerator | None = None,
        is_transpose: bool = False,
        expand_coordinates: bool = False,
        convolution_mode: ConvolutionMode = ConvolutionMode.DEFAULT,
        dimension: int | None = -1,
    ) -> None:
        super().__init__(kernel_size, stride, dilation, kernel_generator, expand_coordinates, dimension)
        self.convolution_mode = expect_choice("convolution_mode", convolution_mode, ConvolutionMode)
        self.is_transpose = bool(is_transpose)
        self.in_channels = one_integer(in_channels, "in_channels", 0)
        self.out_channels = one_integer(out_channels, "out_channels", 0)
        shape = self.kernel_generator
        self.use_mm = (
            shape.kernel_volume == 1 and shape.requires_strided_coordinates and not any(shape.region.offsets[0])
        )
        sizes = (in_channels, out_channels)
        self._draw(
            sizes if self.use_mm else (shape.kernel_volume, *sizes),
            out_channels,
            out_channels if self.is_transpose else in_channels,
            bias,
        )

    def forward(self, input: Any, coordinates: Any = None) -> Any:
        """Convolve a sparse tensor, to ``coordinates`` if they are given: ``[N, 1 + D]`` integers, a map's key, or a
        tensor on a map of the same manager."""
        x = expect(self, input, self.in_channels, self.dimension)
        if self.use_mm and coordinates is None:
            y = x.F @ self.kernel
            return x.on(y if self.bias is None else y + self.bias.to(y.dtype))
        key = target_key(x, self, coordinates)
        rules = rules_of(x.coordinate_manager, x.coordinate_map_key, key, self.kernel_generator, self.is_transpose)
        kernel = self.kernel[None] if self.use_mm else self.kernel
        return x.on(self._convolved(x.F, kernel[:, None], rules), key)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, {super().extra_repr()}, bias={self.bias is not None}"


class _OneWay(MinkowskiConvolutionBase):
    """A convolution whose class decides whether it is transposed. Arguments: `MinkowskiConvolutionBase`."""

    transposed: ClassVar[bool]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        bias: bool = False,
        kernel_generator: KernelGenerator | None = None,
        expand_coordinates: bool = False,
        convolution_mode: ConvolutionMode = ConvolutionMode.DEFAULT,
        dimension: int | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, bias, kernel_generator, self.transposed,
            expand_coordinates, convolution_mode, dimension,
        )  # fmt: skip


class MinkowskiConvolution(_OneWay):
    """Convolution to the sites ``floor(input / stride)``, or with ``expand_coordinates`` to every site at a tap.

    Arguments: `MinkowskiConvolutionBase`.
    """

    transposed = False


class MinkowskiConvolutionTranspose(_OneWay):
    """The relation read backwards, onto the first map of the finer tensor stride; if there is none, or with
    ``expand_coordinates``, onto every site at a tap. Arguments: `MinkowskiConvolutionBase`."""

    transposed = True


class MinkowskiGenerativeConvolutionTranspose(MinkowskiConvolutionBase):
    """The relation read backwards, onto every site at a tap. Arguments: `MinkowskiConvolutionBase`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        bias: bool = False,
        kernel_generator: KernelGenerator | None = None,
        convolution_mode: ConvolutionMode = ConvolutionMode.DEFAULT,
        dimension: int | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, bias, kernel_generator, True, True,
            convolution_mode, dimension,
        )  # fmt: skip


class MinkowskiChannelwiseConvolution(_Kernel):
    """A separate convolution of each channel: its kernel is ``[V, in_channels]``.

    Arguments: `MinkowskiConvolutionBase`.
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        bias: bool = False,
        kernel_generator: KernelGenerator | None = None,
        dimension: int | None = -1,
    ) -> None:
        super().__init__(kernel_size, stride, dilation, kernel_generator, False, dimension)
        self.in_channels = one_integer(in_channels, "in_channels", 0)
        self.is_transpose = False
        self._draw((self.kernel_generator.kernel_volume, in_channels), in_channels, in_channels, bias)

    def forward(self, input: Any, coords: Any = None) -> Any:
        """Convolve a sparse tensor, to ``coords`` if they are given, as in `MinkowskiConvolutionBase`."""
        x = expect(self, input, self.in_channels, self.dimension)
        key = target_key(x, self, coords)
        rules = rules_of(x.coordinate_manager, x.coordinate_map_key, key, self.kernel_generator, False)
        return x.on(self._convolved(x.F, self.kernel[..., None, None], rules), key)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {super().extra_repr()}, bias={self.bias is not None}"


def target_key(x: Any, layer: Any, coordinates: Any = None) -> CoordinateMapKey:
    """The map that a layer with a kernel leads to."""
    shape, transposed = layer.kernel_generator, layer.is_transpose
    manager, key = x.coordinate_manager, x.coordinate_map_key
    if coordinates is not None:
        stride = manager.finer_stride(key, shape.stride) if transposed else times(key, shape.stride)
        return key_of(x, coordinates, stride)  # type: ignore[return-value]
    return output_key(manager, key, shape, transposed, layer.expand_coordinates)


def times(key: CoordinateMapKey, stride: tuple[int, ...]) -> tuple[int, ...]:
    """The tensor stride of a map times a layer's."""
    return tuple(t * s for t, s in zip(key.stride, stride, strict=True))


def output_key(
    manager: CoordinateManager, key: CoordinateMapKey, shape: KernelGenerator, transposed: bool, expand: bool
) -> CoordinateMapKey:
    """The map that a kernel leads to by itself."""
    if transposed:
        return manager.finer(key, shape.region, shape.stride, expand)
    return manager.expanded(key, shape.region, shape.stride) if expand else manager.strided(key, shape.stride)


def rules_of(
    manager: CoordinateManager, in_key: CoordinateMapKey, out_key: CoordinateMapKey, shape: KernelGenerator, back: bool
) -> Rules:
    """The rules of a layer from one map to another; a transposed layer reads those from the other map ``back``."""
    if not back:
        return manager.rules(in_key, out_key, shape.region)
    book, native = manager.rules(out_key, in_key, shape.region)
    return book.transposed(), native


def convolved(features: Values, kernel: Values, rules: Rules, shape: KernelGenerator, bias: Values | None) -> Values:
    """Convolve with a kernel ``[V, groups, in, out]`` in MinkowskiEngine's order and a bias ``[1, out]`` or None."""
    book, native = rules
    weight = by_tap(kernel, shape.region.box) if native else kernel
    return convolve(features, weight, None if bias is None else bias[0], book)
