"""Convolutions with MinkowskiEngine's arguments, kernels, initial weights and parameter names."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from sscn_triton.compat.spine.coordinates import rules_between
from sscn_triton.compat.spine.tensor import BackendTensor, expect
from sscn_triton.compat.spine.windows import SpatialArg, Windowed
from sscn_triton.functional import convolve
from sscn_triton.relation import Axes, volume


class ConvolutionMode(Enum):
    """Algorithms that MinkowskiEngine may use for a convolution; there is only one here."""

    DEFAULT = 0
    DIRECT_GEMM = 1
    COPY_GEMM = 2


class _Kernel(Windowed):
    """A ``kernel``, and optionally a ``bias`` ``[1, out]``, both uniform within ``1 / sqrt(fan)``."""

    def _draw(self, shape: tuple[int, ...], out_channels: int, fan: int, bias: bool) -> None:
        bound = 1 / math.sqrt(fan * volume(self.kernel_size))
        self.kernel = torch.nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = torch.nn.Parameter(torch.empty(1, out_channels).uniform_(-bound, bound)) if bias else None

    def _biased(self, features: Tensor) -> Tensor:
        return features if self.bias is None else features + self.bias.to(features.dtype)


class _Convolution(_Kernel):
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: SpatialArg = -1,
        stride: SpatialArg = 1,
        dilation: SpatialArg = 1,
        bias: bool = False,
        kernel_generator: Any = None,
        expand_coordinates: bool = False,
        convolution_mode: ConvolutionMode = ConvolutionMode.DEFAULT,
        dimension: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, dilation, kernel_generator, dimension)
        if not isinstance(convolution_mode, ConvolutionMode):
            raise TypeError(f"convolution_mode must be a ConvolutionMode, got {convolution_mode!r}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.expand_coordinates, self.convolution_mode = expand_coordinates, convolution_mode
        self.use_mm = volume(self.kernel_size) == volume(self.stride) == 1
        shape = (in_channels, out_channels) if self.use_mm else (volume(self.kernel_size), in_channels, out_channels)
        self._draw(shape, out_channels, out_channels if self.transposed else in_channels, bias)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, {super().extra_repr()}, bias={self.bias is not None}"


class Convolution(_Convolution):
    """Convolution to the sites ``floor(input / stride)``, or with ``expand_coordinates`` to every site reached.

    Args:
        in_channels, out_channels: channels of a row.
        kernel_size, stride, dilation: one number or one per axis.
        bias: whether a learnt constant is added.
        kernel_generator: must be None.
        expand_coordinates: as above.
        convolution_mode: has no effect; there is one algorithm.
        dimension: number of spatial axes.
    """

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input, self.in_channels, self.dimension)
        if self.use_mm:
            return x.on(self._biased(x.F @ self.kernel))
        manager, key, step = x.coordinate_manager, x.coordinate_map_key, self.step()
        target_key = manager.expanded(key, step) if self.expand_coordinates else manager.strided(key, self.stride)
        target = manager.grid(target_key)
        rules, reached = rules_between(manager.grid(key), step, target)
        features = convolve(x.F, by_tap(self.kernel, self.kernel_size)[:, None], None, rules)
        return x.on(self._biased(manager.onto(features, reached, target)), target_key)


class ConvolutionTranspose(_Convolution):
    """The relation read backwards, onto the first map of the finer tensor stride; if there is none, or with
    ``expand_coordinates``, onto every site reached. Arguments: `Convolution`."""

    transposed = True

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input, self.in_channels, self.dimension)
        if self.use_mm:
            return x.on(self._biased(x.F @ self.kernel))
        manager, key, step = x.coordinate_manager, x.coordinate_map_key, self.step()
        fine_key = manager.finer(key, step, self.expand_coordinates)
        coarse, fine = manager.grid(key), manager.grid(fine_key)
        rules, reached = rules_between(fine, step, coarse)
        given = manager.onto(x.F, coarse, reached)
        features = convolve(given, by_tap(self.kernel, self.kernel_size)[:, None], None, rules.transposed())
        return x.on(self._biased(features), fine_key)


class ChannelwiseConvolution(_Kernel):
    """A separate convolution of each channel: its kernel is ``[V, in_channels]``. Arguments: `Convolution`."""

    def __init__(
        self,
        in_channels: int,
        kernel_size: SpatialArg = -1,
        stride: SpatialArg = 1,
        dilation: SpatialArg = 1,
        bias: bool = False,
        kernel_generator: Any = None,
        dimension: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, dilation, kernel_generator, dimension)
        self.in_channels = in_channels
        self._draw((volume(self.kernel_size), in_channels), in_channels, in_channels, bias)

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input, self.in_channels, self.dimension)
        manager, key = x.coordinate_manager, x.coordinate_map_key
        target_key = manager.strided(key, self.stride)
        target = manager.grid(target_key)
        rules, reached = rules_between(manager.grid(key), self.step(), target)
        weight = by_tap(self.kernel, self.kernel_size)[..., None, None]
        features = convolve(x.F, weight, None, rules)
        return x.on(self._biased(manager.onto(features, reached, target)), target_key)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {super().extra_repr()}, bias={self.bias is not None}"


def by_tap(kernel: Tensor, kernel_size: Axes) -> Tensor:
    """A kernel ``[V, ...]`` whose first axis is the fastest, with the last the fastest; and the other way round where
    ``kernel_size`` is given backwards."""
    ndim = len(kernel_size)
    box = kernel.reshape(*reversed(kernel_size), *kernel.shape[1:])
    return box.permute(*reversed(range(ndim)), *range(ndim, box.ndim)).reshape(kernel.shape)
