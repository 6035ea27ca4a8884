"""Pooling layers. They have no weights, and work for any number of spatial axes that fits their arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton import functional
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional import strided_step
from sscn_triton.functional.pooling import checked_choice
from sscn_triton.nn.checks import expect
from sscn_triton.relation import Axes, Size, as_int_or_tuple


class _Pool(torch.nn.Module):
    def __init__(self, kernel_size: Size, stride: Size | None = None, *, padding: Size = 0, dilation: Size = 1) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation = map(as_int_or_tuple, (kernel_size, padding, dilation))
        self.stride = self.kernel_size if stride is None else as_int_or_tuple(stride)
        sizes = [size for size in self.geometry().values() if isinstance(size, tuple)]
        strided_step(len(sizes[0]) if sizes else 1, **self.geometry())

    def geometry(self) -> dict[str, int | Axes]:
        """The arguments that determine the rulebook."""
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
        }

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.geometry().items())


class MaxPool(_Pool):
    """The largest active value under the kernel, at every site that some input reaches.

    Args:
        kernel_size, stride, padding, dilation: one number or one per axis; ``stride`` defaults to ``kernel_size``.
    """

    def forward(self, x: SparseTensor) -> SparseTensor:
        expect(self, x)
        return functional.max_pool(x, **self.geometry())


class AveragePool(_Pool):
    """The mean under the kernel, at every site that some input reaches.

    Args:
        kernel_size, stride, padding, dilation: as in `MaxPool`.
        count: "active" divides by the number of active inputs; "volume" by the number of taps, as SparseConvNet does.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        *,
        padding: Size = 0,
        dilation: Size = 1,
        count: functional.Count = "active",
    ) -> None:
        super().__init__(kernel_size, stride, padding=padding, dilation=dilation)
        self.count = checked_choice("count", count, functional.Count)

    def forward(self, x: SparseTensor) -> SparseTensor:
        expect(self, x)
        return functional.average_pool(x, **self.geometry(), count=self.count)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, count={self.count!r}"


class Unpool(_Pool):
    """Go back to the input sites of the pooling with the same arguments: each gets the value of its pool.

    Where pools overlap, a site gets the sum over its pools.
    """

    def forward(self, x: SparseTensor) -> SparseTensor:
        expect(self, x)
        return functional.unpool(x, **self.geometry())


class GlobalPool(torch.nn.Module):
    """``[batch_size, C]``: "max", "mean" or "sum" over the active sites of each event; zeros for an empty event."""

    def __init__(self, reduction: functional.Reduction = "mean") -> None:
        super().__init__()
        self.reduction = checked_choice("reduction", reduction, functional.Reduction)

    def forward(self, x: SparseTensor) -> Tensor:
        expect(self, x)
        return functional.global_pool(x, self.reduction)

    def extra_repr(self) -> str:
        return repr(self.reduction)
