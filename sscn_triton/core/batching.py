"""Join samples into one batch, as `torch.utils.data.DataLoader` needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sscn_triton.core.arguments import INTEGERS, kind
from sscn_triton.core.grid import Grid
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.relation import MAX_NDIM

Key = str | int


def collate(samples: Sequence[Any], coordinates: Key | Sequence[Key] | None = None) -> Any:
    """Join several samples, each a dict, a tuple or a list with the same entries, or a SparseTensor, into one batch.

    Pass it as ``DataLoader(..., collate_fn=collate)``, with other names of the coordinates as
    ``collate_fn=functools.partial(collate, coordinates="sites")``. The result can be pinned, so ``pin_memory=True``
    works.

    Args:
        samples: at least one. NumPy arrays become tensors.
        coordinates: the entries that are coordinates: keys of a dict (default "coordinates"), or positions in a tuple
            or a list (default 0), one or several. Entries that are SparseTensors need not be named.

    Returns:
        The same structure as one sample, with

        - coordinates, ``[N, D]`` integers without a batch index, as one ``[sum of N, 1 + D]`` tensor, whose first
          column is the position of the sample in ``samples``; int64 if any of them is, else int32;
        - other tensors and arrays with at least one axis concatenated along their first;
        - SparseTensors joined into one, the events of each after those of the previous one;
        - everything else (numbers, strings, lists, None) as a list with one value per sample.

        A dict gets one more entry, ``"batch_size"``: the number of samples, which the coordinates do not show if the
        last sample is empty.

    Raises:
        TypeError, ValueError: with the entry and the sample.
    """
    if isinstance(samples, Mapping | str | Tensor | np.ndarray | SparseTensor) or not isinstance(samples, Sequence):
        raise TypeError(f"collate takes a list of samples, got {kind(samples)}: for one sample, collate([sample])")
    if not samples:
        raise ValueError("collate needs at least one sample, got none")
    head = samples[0]
    for number, sample in enumerate(samples):
        if type(sample) is not type(head):
            raise TypeError(
                f"sample {number} is {kind(sample)}, sample 0 is {kind(head)}: they must have the same type"
            )
    if isinstance(head, SparseTensor):
        if coordinates is not None:
            raise ValueError(f"samples that are SparseTensors have no entries: got coordinates={coordinates!r}")
        return _join_tensors(samples, "samples")
    if isinstance(head, Mapping):
        return _collate_dicts(samples, coordinates)
    if isinstance(head, tuple | list):
        return _collate_tuples(samples, coordinates)
    raise TypeError(
        f"samples must be dicts, tuples, lists or SparseTensors, got {kind(head)} "
        "(sscn_triton.lartpc.collate takes liquid-argon events)"
    )


def _collate_dicts(samples: Sequence[Mapping[str, Any]], coordinates: Key | Sequence[Key] | None) -> dict[str, Any]:
    keys = list(samples[0])
    for number, sample in enumerate(samples):
        if set(sample) != set(keys):
            raise ValueError(f"sample {number} has the entries {sorted(sample)}, sample 0 has {sorted(keys)}")
    if "batch_size" in keys:
        raise ValueError('samples have an entry "batch_size", which collate adds: give it another name')
    columns = {key: [sample[key] for sample in samples] for key in keys}
    chosen = _chosen(columns, "coordinates" if coordinates is None else coordinates, coordinates is None)
    return {key: _join(values, key, key in chosen) for key, values in columns.items()} | {"batch_size": len(samples)}


def _collate_tuples(samples: Sequence[Sequence[Any]], coordinates: Key | Sequence[Key] | None) -> Any:
    head = samples[0]
    for number, sample in enumerate(samples):
        if len(sample) != len(head):
            raise ValueError(f"sample {number} has {len(sample)} entries, sample 0 has {len(head)}")
    columns: dict[Key, list[Any]] = {place: [sample[place] for sample in samples] for place in range(len(head))}
    chosen = _chosen(columns, 0 if coordinates is None else coordinates, coordinates is None)
    joined = [_join(values, place, place in chosen) for place, values in columns.items()]
    if isinstance(head, list):
        return joined
    return type(head)(*joined) if hasattr(head, "_fields") else tuple(joined)


def _chosen(columns: Mapping[Any, list[Any]], named: Key | Sequence[Key], default: bool) -> set[Key]:
    """The keys of coordinates; none if sparse tensors contain the coordinates."""
    keys = set(named) if isinstance(named, Sequence) and not isinstance(named, str) else {named}
    if default and any(isinstance(values[0], SparseTensor) for values in columns.values()):
        keys = {key for key in keys if key in columns and _is_array(columns[key][0])}
    for key in keys:
        if key not in columns:
            raise ValueError(
                f"samples have no entry {key!r}, only {list(columns)}: name the coordinates, as in "
                "collate(samples, coordinates=...)"
            )
    return keys


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _join(values: list[Any], key: Key, coordinates: bool) -> Any:
    """Join the values of one entry over all samples."""
    if coordinates:
        return _join_coordinates(values, key)
    if all(isinstance(value, SparseTensor) for value in values):
        return _join_tensors(values, f"entries {key!r}")
    if not all(_is_array(value) and value.ndim for value in values):
        return values
    tensors = [_as_tensor(value, key) for value in values]
    for number, tensor in enumerate(tensors):
        if tensor.shape[1:] != tensors[0].shape[1:]:
            raise ValueError(
                f"entry {key!r} of sample {number} has shape {tuple(tensor.shape)}, but that of sample 0 "
                f"{tuple(tensors[0].shape)}: only the first axis may differ"
            )
    return torch.cat(tensors)


def _as_tensor(value: Tensor | np.ndarray, key: Key) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if value.dtype.kind not in "fiubc":
        raise TypeError(
            f"entry {key!r} is an array of {value.dtype}, which no tensor can hold: leave it out, or pass lists"
        )
    return torch.from_numpy(np.ascontiguousarray(value))


def _join_coordinates(values: list[Any], key: Key) -> Tensor:
    columns: list[Tensor] = []
    for number, value in enumerate(values):
        if not _is_array(value):
            raise TypeError(f"entry {key!r} of sample {number} must be [N, D] integers, got {kind(value)}")
        sites = _as_tensor(value, key)
        if sites.dtype not in INTEGERS:
            raise TypeError(
                f"entry {key!r} of sample {number} must be [N, D] integers, got {kind(sites)}: "
                "sscn_triton.quantize turns float positions into them"
            )
        if sites.ndim != 2 or not 1 <= sites.shape[1] <= MAX_NDIM:
            raise ValueError(
                f"entry {key!r} of sample {number} must be [N, D], D from 1 to {MAX_NDIM}, without a batch index, got "
                f"shape {tuple(sites.shape)}"
            )
        if columns and columns[0].shape[1] != 1 + sites.shape[1]:
            raise ValueError(
                f"entry {key!r} has {sites.shape[1]} axes in sample {number}, but {columns[0].shape[1] - 1} in sample 0"
            )
        wide = sites if sites.dtype == torch.int64 else sites.int()
        columns.append(torch.cat([wide.new_full((len(wide), 1), number), wide], 1))
    return torch.cat(columns)


def _join_tensors(tensors: Sequence[SparseTensor], name: str) -> SparseTensor:
    """One tensor with the events of all tensors, in order, on a new grid."""
    shapes = {x.spatial_shape for x in tensors}
    wholes = {(x.ndim, x.features.shape[1]) for x in tensors}
    if len(shapes) > 1 or len(wholes) > 1:
        raise ValueError(
            f"{name} must have the same spatial_shape, number of axes and number of channels, "
            f"got {list(map(repr, tensors))}"
        )
    moved, events = [], 0
    for x in tensors:
        sites = x.coordinates.clone()
        sites[:, 0] += events
        moved.append(sites)
        events += x.batch_size
    grid = Grid(torch.cat(moved), tensors[0].spatial_shape, events)
    return SparseTensor.on(torch.cat([x.features for x in tensors]), grid)
