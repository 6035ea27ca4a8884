"""The blocks of torchsparse's networks."""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton.compat.torchsparse import nn
from sscn_triton.compat.torchsparse.tensor import SparseTensor


class SparseConvBlock(torch.nn.Sequential):
    """Convolution, batch norm and ReLU. Arguments: `Conv3d`."""

    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, dilation: Any = 1
    ) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out_channels, kernel_size, stride, dilation=dilation, transposed=self.transposed),
            nn.BatchNorm(out_channels),
            nn.ReLU(True),
        )


class SparseConvTransposeBlock(SparseConvBlock):
    """Transposed convolution, batch norm and ReLU. Arguments: `Conv3d`."""

    transposed = True


class SparseResBlock(torch.nn.Module):
    """Two convolutions, the first with the stride, beside a way around them: the identity, or a convolution of one tap
    and a batch norm. Arguments: `Conv3d`."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, dilation: Any = 1
    ) -> None:
        super().__init__()
        self.main = torch.nn.Sequential(
            *SparseConvBlock(in_channels, out_channels, kernel_size, stride, dilation),
            nn.Conv3d(out_channels, out_channels, kernel_size, dilation=dilation),
            nn.BatchNorm(out_channels),
        )
        first: Any = self.main[0]
        self.shortcut: torch.nn.Module = torch.nn.Identity()
        if in_channels != out_channels or first.stride != (1, 1, 1):
            self.shortcut = torch.nn.Sequential(
                nn.Conv3d(in_channels, out_channels, 1, stride), nn.BatchNorm(out_channels)
            )
        self.relu = nn.ReLU(True)

    def forward(self, x: SparseTensor) -> SparseTensor:
        result: SparseTensor = self.relu(self.main(x) + self.shortcut(x))
        return result
