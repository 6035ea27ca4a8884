"""torchsparse's convolution layer."""

from __future__ import annotations

import math
from typing import Any

import torch

from sscn_triton.compat.torchsparse.nn.functional.conv import conv3d
from sscn_triton.compat.torchsparse.nn.functional.conv.conv import checked_shape
from sscn_triton.compat.torchsparse.nn.functional.conv.conv_config import checked_config
from sscn_triton.compat.torchsparse.nn.functional.conv.kmap import ONE
from sscn_triton.compat.torchsparse.nn.utils.apply import expect
from sscn_triton.compat.torchsparse.tensor import SparseTensor
from sscn_triton.relation import one_integer, volume


class Conv3d(torch.nn.Module):
    """Convolution; the sites of its output follow from the rules of `conv3d`.

    Its parameters are ``kernel`` ``[V, in, out]``, or ``[in, out]`` for one tap without a stride, and ``bias``
    ``[out]``, uniform within ``1 / sqrt(V in)``, or ``1 / sqrt(V out)`` if it is transposed.

    Args:
        in_channels, out_channels: channels of a row.
        kernel_size, stride, padding, dilation, transposed, generative, config: as in `conv3d`.
        bias: whether a learnt constant is added.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any = 3,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        bias: bool = False,
        transposed: bool = False,
        generative: bool = False,
        config: Any = None,
    ) -> None:
        super().__init__()
        self.in_channels = one_integer(in_channels, "in_channels", 0)
        self.out_channels = one_integer(out_channels, "out_channels", 0)
        self.kernel_size, self.stride, self.padding = checked_shape(kernel_size, stride, padding, dilation)
        self.dilation, self.transposed, self.generative = dilation, bool(transposed), bool(generative)
        if generative and not transposed:
            raise ValueError("generative needs transposed=True")
        if config is not None:
            checked_config(config)
        self._config = config
        self.kernel_volume = volume(self.kernel_size)
        sizes = (in_channels, out_channels)
        flat = self.kernel_volume == 1 and self.stride == ONE
        self.kernel = torch.nn.Parameter(torch.zeros(sizes if flat else (self.kernel_volume, *sizes)))
        self.bias = torch.nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial weights again."""
        fan = (self.out_channels if self.transposed else self.in_channels) * self.kernel_volume
        bound = 1 / math.sqrt(max(fan, 1))
        for parameter in (self.kernel, self.bias):
            if parameter is not None:
                torch.nn.init.uniform_(parameter, -bound, bound)

    def forward(self, input: SparseTensor) -> SparseTensor:
        x = expect(input, "Conv3d", self.in_channels)
        return conv3d(
            x, self.kernel, self.kernel_size, self.bias, self.stride, self.padding, self.dilation, self._config,
            self.transposed, self.generative, self.training,
        )  # fmt: skip

    def extra_repr(self) -> str:
        shown = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        shown += f", padding={self.padding}, bias={self.bias is not None}"
        return shown + ", transposed=True" * self.transposed + ", generative=True" * self.generative
