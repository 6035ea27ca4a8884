"""Batches of sparse tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sscn_triton.compat.torchsparse.tensor import SparseTensor
from sscn_triton.core.arguments import kind


def sparse_collate(inputs: Sequence[SparseTensor]) -> SparseTensor:
    """One tensor of several without a batch index: its coordinates get their position in ``inputs`` in front."""
    if not inputs or not all(isinstance(x, SparseTensor) for x in inputs):
        raise TypeError("inputs must be a list of SparseTensors, at least one")
    strides = {x.stride for x in inputs}
    if len(strides) != 1:
        raise ValueError(f"tensors to collate must have one stride, got {sorted(strides)}")
    for x in inputs:
        if x.feats is None or x.feats.shape[1:] != inputs[0].feats.shape[1:]:
            raise ValueError(f"feats of all inputs must have one number of channels, got {inputs[0]} and {x}")
    coords = [_tensor(x.coords) for x in inputs]
    if any(rows.shape[1] != 3 for rows in coords):
        raise ValueError("coords must be [N, 3], without batch index, because collating adds it")
    batch = [torch.nn.functional.pad(rows, (1, 0), value=number) for number, rows in enumerate(coords)]
    feats = torch.cat([_tensor(x.feats) for x in inputs])
    return SparseTensor(feats, torch.cat(batch), strides.pop())


def sparse_collate_fn(inputs: Sequence[Any]) -> Any:
    """The ``collate_fn`` of a DataLoader of dictionaries: sparse tensors are collated, arrays and tensors stacked,
    dictionaries joined in the same way, everything else is listed. Other samples are returned as they are."""
    if not inputs or not isinstance(inputs[0], dict):
        return inputs
    for number, sample in enumerate(inputs):
        if not isinstance(sample, dict) or not inputs[0].keys() <= sample.keys():
            raise ValueError(f"sample {number} must be a dictionary with the names {list(inputs[0])} of the first one")
    return {name: _joined(name, [sample[name] for sample in inputs]) for name in inputs[0]}


def _joined(name: Any, values: list[Any]) -> Any:
    first = values[0]
    for known in (dict, SparseTensor, np.ndarray | Tensor):
        if isinstance(first, known) and not all(isinstance(value, known) for value in values):
            raise ValueError(f"{name!r} must be alike in all samples, got {', '.join(map(kind, values))}")
    if isinstance(first, dict):
        return sparse_collate_fn(values)
    if isinstance(first, SparseTensor):
        return sparse_collate(values)
    if not isinstance(first, np.ndarray | Tensor):
        return values
    if len({tuple(value.shape) for value in values}) != 1:
        raise ValueError(f"{name!r} must have one shape in all samples, got {[tuple(value.shape) for value in values]}")
    return torch.stack([_tensor(value) for value in values])


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)
