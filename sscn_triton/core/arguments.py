"""Checks of the arguments of a sparse tensor, made before any work."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sscn_triton.core.batch_column import doubt_batch_column
from sscn_triton.core.grid import Grid
from sscn_triton.ops.pytorch import is_exporting
from sscn_triton.relation import MAX_NDIM, Axes, Size, as_int_or_tuple, one_integer, per_axis

INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DUPLICATES = ("error", "sum", "mean", "max", "first", "last")


def kind(value: object) -> str:
    """Describe a given value for an error message."""
    return f"a {value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__


def check_features(features: object, rows: int) -> None:
    """Raise unless features are ``[rows, channels]``, floating point."""
    if not isinstance(features, Tensor) or features.dtype not in FLOATS:
        raise TypeError(
            f"features must be a float16, bfloat16, float32 or float64 tensor [N, channels], got {kind(features)}"
            f"{_advice(features, wants_integers=False)}"
        )
    if features.layout != torch.strided:
        raise TypeError(f"features must be a tensor of layout torch.strided, got {features.layout}")
    if features.ndim != 2 or features.shape[0] != rows:
        raise ValueError(f"features must be [{rows}, channels], one row per site, got shape {tuple(features.shape)}")


def _advice(value: object, *, wants_integers: bool) -> str:
    """How to convert the given value to features or to coordinates (integers); empty if there is no advice."""
    if isinstance(value, Tensor) and value.is_floating_point() and wants_integers:
        return ": sscn_triton.quantize turns float positions into voxels"
    if isinstance(value, Tensor) and value.dtype in INTEGERS and not wants_integers:
        return ": features.float() converts them"
    if isinstance(value, np.ndarray | list | tuple):
        return ": torch.as_tensor converts it"
    return ""


def checked_grid(
    features: Tensor, coordinates: Tensor | None, spatial_shape: Size | None, batch_size: int | None
) -> Grid:
    """The grid of the coordinates, after the checks of `sscn_triton.SparseTensor`, but not for duplicates."""
    if not isinstance(features, Tensor) or features.dtype not in FLOATS:
        raise TypeError(
            f"features must be a float16, bfloat16, float32 or float64 tensor [N, channels], got {kind(features)}"
            f"{_advice(features, wants_integers=False)}"
        )
    if not isinstance(coordinates, Tensor) or coordinates.dtype not in INTEGERS:
        raise TypeError(
            f"coordinates must be an integer tensor [N, 1 + D], batch index first, of type int8 to int64 or uint8, "
            f"got {kind(coordinates)}{_advice(coordinates, wants_integers=True)}"
        )
    for name, value in (("features", features), ("coordinates", coordinates)):
        if value.layout != torch.strided:
            raise TypeError(f"{name} must be a tensor of layout torch.strided, got {value.layout}")
    if coordinates.ndim != 2 or not 2 <= coordinates.shape[1] <= 1 + MAX_NDIM:
        raise ValueError(
            f"coordinates must be [N, 1 + D], batch index first, D from 1 to {MAX_NDIM}, "
            f"got shape {tuple(coordinates.shape)}"
        )
    if features.ndim != 2 or features.shape[0] != coordinates.shape[0]:
        raise ValueError(
            f"features must be [N, channels] with N = {coordinates.shape[0]} rows, as in coordinates, "
            f"got shape {tuple(features.shape)}"
        )
    if features.device != coordinates.device:
        raise ValueError(
            f"features are on {features.device}, coordinates on {coordinates.device}: put both on one device"
        )
    if coordinates.is_meta:
        raise ValueError("coordinates are on meta, which has no values, but sites must be known")
    ndim = coordinates.shape[1] - 1
    given = as_int_or_tuple(spatial_shape) if spatial_shape is not None else ()
    if isinstance(given, tuple) and len(given) == 1 + ndim:
        raise ValueError(
            f"spatial_shape {given} has {1 + ndim} axes, coordinates {list(coordinates.shape)} have {ndim} after the "
            "batch index, which is their first column: is it missing, or is the batch size in spatial_shape?"
        )
    shape = None if spatial_shape is None else per_axis(spatial_shape, ndim, "spatial_shape", 1)
    if is_exporting():
        raise RuntimeError(
            "torch.export cannot trace the construction of a SparseTensor, which depends on the values of its "
            "coordinates: construct it outside, call sscn_triton.prepare(model, tensor), and export a module of its "
            "features"
        )
    batch_size = _checked_range(coordinates, shape, batch_size)
    return Grid(coordinates.to(torch.int32, copy=True).contiguous(), shape, batch_size)


def _checked_range(coordinates: Tensor, shape: Axes | None, batch_size: int | None) -> int:
    if batch_size is not None:
        batch_size = one_integer(batch_size, "batch_size", 0)
    if not len(coordinates):
        return batch_size or 0
    if batch_size == 0:
        raise ValueError(f"batch_size is 0, but coordinates has {len(coordinates)} rows")
    low, high = torch.stack(coordinates.aminmax(dim=0)).tolist()  # the host waits once for the device here
    names = ["batch", *(f"axis {axis}" for axis in range(len(low) - 1))]
    limits = [batch_size, *(shape or [None] * (len(low) - 1))]
    for column, (name, limit) in enumerate(zip(names, limits, strict=True)):
        least = -(2**31) if column and shape is None else 0
        most = 2**31 - 1 if limit is None else limit - 1
        if low[column] < least or high[column] > most:
            raise ValueError(
                f"coordinates of {name} (column {column}) run from {low[column]} to {high[column]}; "
                f"the allowed range is {least} to {most}"
                f"{'' if column else '. The batch index is the first column: [N, 1 + D]'}"
            )
    if batch_size is None:
        doubt_batch_column(coordinates, low, high)
        return high[0] + 1
    return batch_size


def duplicate_message(coordinates: Tensor, first: Tensor, inverse: Tensor) -> str:
    """Say which two rows share the first duplicate site, and how to merge duplicates."""
    row = int((first[inverse] != torch.arange(len(inverse), device=inverse.device)).nonzero()[0, 0])
    return (
        f"coordinates contain {len(inverse) - len(first)} duplicate sites: rows {int(first[inverse[row]])} and {row} "
        f"are both {coordinates[row].tolist()}; merge them with SparseTensor.from_points(..., duplicates="
        f"{' | '.join(repr(how) for how in DUPLICATES[1:])}), if the first column is their batch index"
    )
