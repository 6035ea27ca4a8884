"""Points merged into voxels, before a batch is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sscn_triton.compat.minkowski.maps.keys import StrideType, integers
from sscn_triton.core import rulebook

Rows = Tensor | np.ndarray


def fnv_hash_vec(arr: np.ndarray) -> np.ndarray:
    """The 64-bit FNV-1 hash of each row of ``[N, C]`` whole numbers, one step per number; uint64."""
    numbers = _matrix(arr).astype(np.int64).astype(np.uint64)
    hashed = np.full(len(numbers), 14695981039346656037, np.uint64)
    for column in numbers.T:
        hashed = (hashed * np.uint64(1099511628211)) ^ column
    return hashed


def ravel_hash_vec(arr: np.ndarray) -> np.ndarray:
    """The position of each row of ``[N, C]`` whole numbers in their bounding box, last column fastest; uint64."""
    numbers = _matrix(arr).astype(np.int64)
    moved = (numbers - numbers.min(0)).astype(np.uint64)
    extents = moved.max(0) + np.uint64(1)
    keys = np.zeros(len(moved), np.uint64)
    for column, extent in zip(moved.T, extents, strict=True):
        keys = keys * extent + column
    return keys


def _matrix(arr: Any) -> np.ndarray:
    if not isinstance(arr, np.ndarray) or arr.ndim != 2:
        raise ValueError("arr must be an array [N, C]")
    return arr


def quantize(coords: Rows) -> tuple[Any, Any]:
    """The first row of each distinct row of ``[N, C]`` integers, and each row's position among them; of one kind with
    ``coords``."""
    first, inverse = _distinct(torch.as_tensor(coords))
    if isinstance(coords, np.ndarray):
        return first.numpy().astype(np.int32), inverse.numpy().astype(np.int32)
    return first, inverse


def quantize_label(coords: Rows, labels: Rows, ignore_label: int) -> tuple[Any, Any, Any]:
    """`quantize`, and a label ``[M]`` per distinct row: ``ignore_label`` where its rows have different labels. Labels
    are integers ``[N]`` or ``[N, 1]``."""
    given = torch.as_tensor(labels)
    if tuple(given.shape) not in ((len(coords),), (len(coords), 1)) or given.is_floating_point():
        raise ValueError(
            f"labels must be integers [{len(coords)}] or [{len(coords)}, 1], got {given.dtype} of {tuple(given.shape)}"
        )
    first, inverse = quantize(coords)
    given, place = given.reshape(-1), torch.as_tensor(inverse).long()
    found = given[torch.as_tensor(first).long()].clone()
    found[place[given != found[place]].unique()] = ignore_label
    return first, inverse, found.numpy() if isinstance(labels, np.ndarray) else found


def _distinct(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """The first row of each distinct row, in ascending order, and each row's position among them."""
    if 2 <= coordinates.shape[1] <= 5:
        return rulebook.unique(coordinates.int().contiguous())
    found, inverse = coordinates.unique(dim=0, return_inverse=True)
    rows = torch.arange(len(coordinates), device=coordinates.device)
    first = torch.full((len(found),), len(rows), device=rows.device).scatter_reduce(0, inverse, rows, "amin")
    order = torch.argsort(first)
    return first[order], torch.argsort(order)[inverse]


def sparse_quantize(
    coordinates: Rows,
    features: Rows | None = None,
    labels: Rows | None = None,
    ignore_label: int = -100,
    return_index: bool = False,
    return_inverse: bool = False,
    return_maps_only: bool = False,
    quantization_size: Any = None,
    device: Any = "cpu",
) -> Any:
    """The voxels of points, each once, in order of first appearance.

    Args:
        coordinates: ``[N, D]``, a tensor or an array; divided by ``quantization_size`` and rounded down.
        features: ``[N, C]``: those of each voxel's first point are returned.
        labels: ``[N]`` or ``[N, 1]`` integers: a voxel whose points have different labels gets ``ignore_label``.
        return_index, return_inverse: also return the first point of each voxel, and the voxel of each point; the
            second needs the first.
        return_maps_only: return only the first points, or the pair with ``return_inverse``; not with labels.
        quantization_size: length of a voxel's edge, one number or one per axis.
        device: where voxels and maps are put. With labels it must be the CPU.

    Returns:
        One value or a tuple: voxels ``[M, D]`` int32, features, labels, first points, voxels of the points, as asked
        for. With labels, arrays stay arrays; without, voxels and maps are tensors.
    """
    if not isinstance(coordinates, np.ndarray | Tensor) or coordinates.ndim != 2:
        raise ValueError("coordinates must be a tensor or an array [N, D]")
    if return_inverse and not (return_index or return_maps_only):
        raise ValueError("return_inverse needs return_index")
    for name, rows in (("features", features), ("labels", labels)):
        if rows is not None and len(rows) != len(coordinates):
            raise ValueError(f"{name} have {len(rows)} rows, coordinates have {len(coordinates)}")
    if labels is not None and (return_maps_only or torch.device(device).type != "cpu"):
        raise ValueError("with labels, return_maps_only must be False and device the CPU")
    voxels = _voxels(coordinates, quantization_size)
    given: Any = coordinates
    if labels is not None:
        first, inverse, found = quantize_label(
            voxels if isinstance(given, Tensor) else voxels.numpy(), labels, ignore_label
        )
        kept = voxels[torch.as_tensor(first).long()]
        results = [kept if isinstance(given, Tensor) else kept.numpy()]
        results += [] if features is None else [features[first]]
        results += [found]
    else:
        voxels = voxels.to(device)
        first, inverse = _distinct(voxels)
        if return_maps_only:
            return (first, inverse) if return_inverse else first
        results = [voxels[first]]
        results += [] if features is None else [_chosen(features, first)]
    results += [first] if return_index else []
    results += [inverse] if return_inverse else []
    return results[0] if len(results) == 1 else tuple(results)


def _chosen(features: Rows, rows: Tensor) -> Rows:
    return features[rows.cpu().numpy()] if isinstance(features, np.ndarray) else features[rows.to(features.device)]


def _voxels(coordinates: Rows, quantization_size: Any) -> Tensor:
    """``[N, D]`` int32, of a tensor or an array."""
    given = coordinates if isinstance(coordinates, Tensor) else torch.from_numpy(np.ascontiguousarray(coordinates))
    if quantization_size is not None:
        sizes = torch.as_tensor(np.asarray(quantization_size, dtype=np.float64))
        if sizes.ndim > 1 or (sizes.ndim == 1 and len(sizes) != given.shape[1]) or not (sizes > 0).all():
            raise ValueError(f"quantization_size must be positive, one number or {given.shape[1]}")
        given = given / sizes.to(given.device, given.dtype if given.is_floating_point() else torch.float32)
    if given.is_floating_point() and not given.isfinite().all():
        raise ValueError("coordinates must be finite numbers")
    return (given.floor() if given.is_floating_point() else given).int()


def unique_coordinate_map(coordinates: Tensor, tensor_stride: StrideType | Sequence[int] = 1) -> tuple[Tensor, Tensor]:
    """The first row of each distinct site among ``[N, 1 + D]`` integers, and the site of each row. ``tensor_stride``
    must be one positive number or one per axis."""
    if not isinstance(coordinates, Tensor) or coordinates.ndim != 2:
        raise ValueError("coordinates must be a tensor [N, 1 + D]")
    integers(tensor_stride, coordinates.shape[1] - 1, "tensor_stride", 1)
    return _distinct(coordinates)
