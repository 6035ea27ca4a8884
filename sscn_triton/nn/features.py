"""Layers that work on feature rows and leave the sites alone."""

from __future__ import annotations

import torch

from sscn_triton import functional
from sscn_triton.tensor import SparseTensor


class Linear(torch.nn.Linear):
    """`torch.nn.Linear` on every site: a 1 x 1 convolution."""

    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        return x.map(super().forward)


class ReLU(torch.nn.ReLU):
    """`torch.nn.ReLU` on the features. Sites stay active where the features become zero."""

    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        return x.map(super().forward)


class BatchNorm(torch.nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the active sites of the whole batch, for any number of them.

    With no site the running statistics stay as they are; a single site has variance 0.
    """

    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        if x.features.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__} takes {self.num_features} channels, the tensor has {x.features.shape[1]}"
            )
        batch_statistics = self.training or self.running_mean is None
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None and len(x):
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        return x.map(
            lambda features: functional.batch_norm(
                features,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                batch_statistics,
                0.0 if momentum is None else momentum,
                self.eps,
            )
        )


class BatchNormReLU(BatchNorm):
    """`BatchNorm`, then ReLU."""

    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        return super().forward(x).map(torch.relu)
