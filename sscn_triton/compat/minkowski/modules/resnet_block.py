"""Residual blocks, with MinkowskiEngine's names."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from sscn_triton.compat.minkowski.convolution import MinkowskiConvolution
from sscn_triton.compat.minkowski.features import LAYERS
from sscn_triton.compat.minkowski.maps.keys import checked_dimension
from sscn_triton.compat.minkowski.normalization import MinkowskiBatchNorm


class _Block(torch.nn.Module):
    """Convolutions and norms with a way around them.

    Args:
        inplanes: channels of the input.
        planes: channels of the block's convolutions; the output has ``planes * expansion``.
        stride, dilation: of the convolution of three taps per axis that comes first.
        downsample: a module for the way around, or None.
        bn_momentum: momentum of the norms.
        dimension: number of spatial axes.
    """

    expansion: ClassVar[int] = 1
    kernels: ClassVar[tuple[int, ...]] = (3, 3)

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        dilation: int = 1,
        downsample: torch.nn.Module | None = None,
        bn_momentum: float = 0.1,
        dimension: int = -1,
    ) -> None:
        super().__init__()
        ndim = checked_dimension(dimension)
        first, before = self.kernels.index(3), inplanes
        for place, kernel in enumerate(self.kernels):
            after = planes * (self.expansion if place == len(self.kernels) - 1 else 1)
            step, spread = (stride if place == first else 1), (dilation if kernel == 3 else 1)
            conv = MinkowskiConvolution(before, after, kernel, step, spread, dimension=ndim)
            setattr(self, f"conv{place + 1}", conv)
            setattr(self, f"norm{place + 1}", MinkowskiBatchNorm(after, momentum=bn_momentum))
            before = after
        self.relu = LAYERS["MinkowskiReLU"](inplace=True)
        self.downsample = downsample

    def branch(self, x: Any) -> Any:
        """The convolutions and norms, without the last ReLU."""
        for place in range(1, len(self.kernels) + 1):
            x = getattr(self, f"norm{place}")(getattr(self, f"conv{place}")(x))
            x = self.relu(x) if place < len(self.kernels) else x
        return x

    def forward(self, x: Any) -> Any:
        out = self.branch(x)
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class BasicBlock(_Block):
    """Two convolutions of three taps per axis. Arguments: `_Block`."""


class Bottleneck(_Block):
    """A convolution of three taps per axis between two of one tap. Arguments: `_Block`."""

    expansion: ClassVar[int] = 4
    kernels: ClassVar[tuple[int, ...]] = (1, 3, 1)
