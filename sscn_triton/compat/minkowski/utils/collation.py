"""Events joined to batches."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Rows = Tensor | np.ndarray
TYPES = (torch.int32, torch.float32)


def _tensor(name: str, given: Any) -> Tensor:
    if isinstance(given, np.ndarray):
        return torch.from_numpy(given)
    if not isinstance(given, Tensor):
        raise TypeError(f"{name} must be tensors or arrays, got {type(given).__name__}")
    return given


def batched_coordinates(coords: Sequence[Rows], dtype: torch.dtype = torch.int32, device: Any = None) -> Tensor:
    """``[N, 1 + D]``: the coordinates ``[N_i, D]`` of all events, with the event's number first.

    Args:
        coords: tensors or arrays.
        dtype: int32, for which fractions are rounded down, or float32.
        device: where the result is put; by default the CPU.
    """
    if dtype not in TYPES:
        raise ValueError(f"dtype must be torch.int32 or torch.float32, got {dtype}")
    given = [_tensor("coords", rows) for rows in coords]
    widths = {rows.shape[1] if rows.ndim == 2 else None for rows in given}
    if len(widths) != 1 or None in widths:
        raise ValueError(f"coords must be [N_i, D] with one D, got {[tuple(rows.shape) for rows in given][:5]}")
    parts = []
    for event, rows in enumerate(given):
        whole = rows.floor() if dtype == torch.int32 and rows.is_floating_point() else rows
        parts.append(torch.nn.functional.pad(whole.to(dtype), (1, 0), value=event))
    return torch.cat(parts).to("cpu" if device is None else device)


def sparse_collate(
    coords: Sequence[Rows],
    feats: Sequence[Rows],
    labels: Sequence[Any] | None = None,
    dtype: torch.dtype = torch.int32,
    device: Any = None,
) -> tuple[Any, ...]:
    """`batched_coordinates`, the features of all events, and their labels if there are any.

    Labels that are tensors or arrays are concatenated, others are returned as a list. ``device`` is that of the
    coordinates; by default that of the first ones.
    """
    rows, values = [_tensor("coords", part) for part in coords], [_tensor("feats", part) for part in feats]
    sizes = [len(part) for part in rows], [len(part) for part in values]
    if sum(sizes[0]) != sum(sizes[1]):
        raise ValueError(f"coords have {sum(sizes[0])} rows, feats have {sum(sizes[1])}")
    where = rows[0].device if device is None and rows else device
    batch = batched_coordinates(rows, dtype, where), torch.cat(values, 0)
    if labels is None:
        return batch
    if len(labels) != len(rows):
        raise ValueError(f"there are {len(rows)} events, but {len(labels)} labels")
    joined = [torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in labels]
    return *batch, torch.cat(joined, 0) if joined and isinstance(joined[0], Tensor) else joined


def batch_sparse_collate(
    data: Sequence[Sequence[Any]], dtype: torch.dtype = torch.int32, device: Any = None
) -> tuple[Any, ...]:
    """`sparse_collate` of a list of ``(coordinates, features)`` or ``(coordinates, features, labels)``: the
    ``collate_fn`` of a `torch.utils.data.DataLoader`."""
    columns: list[Any] = list(zip(*data, strict=True))
    if len(columns) not in (2, 3):
        raise ValueError(f"events must be (coordinates, features) or with labels, got {len(columns)} parts")
    return sparse_collate(columns[0], columns[1], columns[2] if len(columns) == 3 else None, dtype, device)


class SparseCollation:
    """A ``collate_fn`` for events ``(coordinates, features, labels)``.

    Args:
        limit_numpoints: if positive, events are left out from the first that exceeds this number of points.
        dtype, device: as in `sparse_collate`.
    """

    def __init__(self, limit_numpoints: int = -1, dtype: torch.dtype = torch.int32, device: Any = None) -> None:
        self.limit_numpoints, self.dtype, self.device = limit_numpoints, dtype, device

    def __call__(self, list_data: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
        kept: list[Sequence[Any]] = []
        points = 0
        for event in list_data:
            points += len(event[0])
            if 0 < self.limit_numpoints < points:
                warnings.warn(
                    f"the batch is cut to {len(kept)} of {len(list_data)} events: more exceed {self.limit_numpoints} "
                    "points",
                    stacklevel=2,
                )
                break
            kept.append(event)
        if not kept:
            raise ValueError(f"the first event has more than {self.limit_numpoints} points")
        return batch_sparse_collate(kept, self.dtype, self.device)
