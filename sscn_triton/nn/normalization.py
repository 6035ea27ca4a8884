"""Norms over active sites. `LayerNorm`, which works on one site at a time, is in `sscn_triton.nn.features`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton import functional
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional.normalization import normalize_by
from sscn_triton.nn.checks import expect
from sscn_triton.nn.own_forward import own_forward


class BatchNorm(torch.nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the active sites of the whole batch, for any number of sites.

    Without sites the running statistics do not change; a single site has variance 0.
    """

    leakiness = 1.0  # factor of negative outputs

    @own_forward
    def forward(self, x: SparseTensor, moments: Tensor | None = None) -> SparseTensor:  # type: ignore[override]
        expect(self, x, self.num_features)
        if x.features.is_meta:
            return x.map(torch.empty_like)
        return x.replace(normalize_by(x.features, self.norm_of(x, moments)))

    def norm_of(self, x: SparseTensor, moments: Tensor | None = None) -> functional.Norm:
        """The norm that the layer applies to the rows of ``x``; in training this updates its running statistics.

        ``moments`` are those of the features, if the convolution that computed the features also computed them.
        """
        expect(self, x, self.num_features)
        return functional.batch_norm_of(
            x.features,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.reads_its_batch(),
            self.momentum,
            self.eps,
            self.leakiness,
            self.num_batches_tracked if self.training else None,
            moments,
        )

    def reads_its_batch(self) -> bool:
        """Whether the layer normalises by statistics of its input, not by its running statistics."""
        return self.training or self.running_mean is None

    def has_company(self) -> bool:
        """Whether the statistics include other processes."""
        return False


class BatchNormReLU(BatchNorm):
    """`BatchNorm`, then ReLU."""

    leakiness = 0.0


class BatchNormLeakyReLU(BatchNorm):
    """`BatchNorm`, then negative values times ``leakiness`` (a third by default, as in SparseConvNet)."""

    def __init__(self, *args: Any, leakiness: float = 0.333, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leakiness = leakiness

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, leakiness={self.leakiness}"


class GroupNorm(torch.nn.GroupNorm):
    """`torch.nn.GroupNorm` with the active sites of an event in place of pixels: events do not affect each other."""

    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        expect(self, x, self.num_channels)
        return functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class InstanceNorm(GroupNorm):
    """Normalise every channel of every event by its mean and variance over the event's active sites.

    As `torch.nn.InstanceNorm1d` without running statistics; for an event of one site, which PyTorch refuses, the output
    is the bias.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False) -> None:
        super().__init__(num_features, num_features, eps, affine)


class SyncBatchNorm(BatchNorm):
    """`BatchNorm` whose statistics in training are over the active sites of all processes.

    Every site counts the same wherever it is, so any number of processes equals one process with the joined batch; a
    process may have no sites. Without `torch.distributed`, in evaluation, and with one process it is `BatchNorm`. All
    processes of the group must run forward and backward alike. Construct it directly or with `convert_sync_batchnorm`;
    PyTorch's own conversion makes layers that refuse sparse tensors.

    Args:
        process_group: the processes that share statistics; all of them by default.
        leakiness: factor of negative outputs: 1 changes nothing, 0 is a ReLU.
    """

    def __init__(self, *args: Any, process_group: Any = None, leakiness: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.process_group = process_group
        self.leakiness = leakiness

    @own_forward
    def forward(self, x: SparseTensor, moments: Tensor | None = None) -> SparseTensor:  # type: ignore[override]
        expect(self, x, self.num_features)
        if x.features.is_meta or not self.has_company():
            return super().forward(x, moments)
        count, mean, variance = functional.process_statistics(x.features, self.process_group)
        self._follow(count, mean.detach(), variance.detach())
        return x.map(
            lambda features: functional.normalize(
                features, mean, variance, self.weight, self.bias, self.eps, self.leakiness
            )
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, leakiness={self.leakiness}"

    def has_company(self) -> bool:
        """Whether the statistics include other processes: in training, if there are any."""
        distributed = torch.distributed
        if not self.training or not distributed.is_available() or not distributed.is_initialized():
            return False
        return distributed.get_world_size(self.process_group) > 1

    def _follow(self, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of ``count`` rows; leave them if there are no rows."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_((count > 0).long())
        batches = self.num_batches_tracked.clamp(min=1).to(self.running_mean.dtype)
        step = (count > 0) * (1 / batches if self.momentum is None else torch.full_like(batches, self.momentum))
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), step)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), step)


def convert_sync_batchnorm(module: torch.nn.Module, process_group: Any = None) -> torch.nn.Module:
    """Replace every `BatchNorm` of a module, with or without ReLU, by a `SyncBatchNorm` with its parameters and state.

    Children are replaced in place; the result is ``module``, or its replacement if it is itself a `BatchNorm`.
    """
    if not isinstance(module, BatchNorm) or isinstance(module, SyncBatchNorm):
        for name, child in module.named_children():
            setattr(module, name, convert_sync_batchnorm(child, process_group))
        return module
    settings = (module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
    twin = SyncBatchNorm(*settings, process_group=process_group, leakiness=module.leakiness)
    twin.train(module.training)
    twin.weight, twin.bias = module.weight, module.bias
    for name, value in module.named_buffers():
        setattr(twin, name, value)
    return twin
