"""Batches of sparse tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sscn_triton.compat.torchsparse.tensor import SparseTensor


def sparse_collate(inputs: Sequence[SparseTensor]) -> SparseTensor:
    """One tensor of several without a batch index: its coordinates get their position in ``inputs`` in front."""
    if not inputs or not all(isinstance(x, SparseTensor) for x in inputs):
        raise TypeError("inputs must be a list of SparseTensors, at least one")
    strides = {x.stride for x in inputs}
    if len(strides) != 1:
        raise ValueError(f"tensors to collate must have one stride, got {sorted(strides)}")
    coords = [_tensor(x.coords) for x in inputs]
    if any(rows.shape[1] != 3 for rows in coords):
        raise ValueError("coords must be [N, 3], without batch index, because collating adds it")
    batch = [torch.nn.functional.pad(rows, (1, 0), value=number) for number, rows in enumerate(coords)]
    feats = torch.cat([_tensor(x.feats) for x in inputs])
    return SparseTensor(feats, torch.cat(batch), strides.pop())


def sparse_collate_fn(inputs: Sequence[Any]) -> Any:
    """The ``collate_fn`` of a DataLoader of dictionaries: sparse tensors are collated, arrays and tensors stacked,
    dictionaries joined in the same way, everything else is listed. Other samples are returned as they are."""
    if not isinstance(inputs[0], dict):
        return inputs
    return {name: _joined([sample[name] for sample in inputs]) for name in inputs[0]}


def _joined(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return sparse_collate_fn(values)
    if isinstance(first, SparseTensor):
        return sparse_collate(values)
    if isinstance(first, np.ndarray | Tensor):
        return torch.stack([_tensor(value) for value in values])
    return values


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)
