"""Sparse tensors as images, and as PyTorch's sparse tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sscn_triton.relation import Axes

if TYPE_CHECKING:
    from sscn_triton.compat.minkowski.sparse_tensor import SparseTensor


def image(
    x: SparseTensor, shape: Sequence[int] | None, min_coordinate: Any, contract_stride: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`SparseTensor.dense`."""
    stride, channels = torch.tensor(x.tensor_stride, dtype=torch.int32), x.F.shape[1]
    if shape is not None and len(shape) != x.D + 2:
        raise ValueError(f"shape must be [B, C, {x.D} axes], got {list(shape)}")
    if not len(x):
        if shape is None:
            raise ValueError("shape is required for a tensor without sites")
        return x.F.new_zeros(shape[0], channels, *shape[2:]), torch.zeros(x.D, dtype=torch.int32), stride
    sites = x.C.long()
    batch, places = sites[:, 0], sites[:, 1:]
    low = places.amin(0).int()[None]
    if min_coordinate is None:
        if (low < 0).any():
            raise ValueError(f"a coordinate is negative, the least are {low[0].tolist()}: pass min_coordinate")
    else:
        low = _corner("min_coordinate", min_coordinate, x)
        places = places - low
    places = _contracted(places, x.tensor_stride) if contract_stride else places
    extent = [int(n) + 1 for n in places.amax(0)] if shape is None else list(shape[2:])
    batch_size = int(batch.max()) + 1 if shape is None else int(shape[0])
    limit = torch.tensor([batch_size, *extent], device=places.device)
    where = torch.cat([batch[:, None], places], 1)
    if ((where < 0) | (where >= limit)).any():
        raise ValueError(
            f"sites lie outside the image: [event, place] from {where.amin(0).tolist()} to {where.amax(0).tolist()}, "
            f"but its extents are {limit.tolist()}"
        )
    result = x.F.new_zeros(batch_size, *extent, channels).index_put(tuple(where.unbind(1)), x.F)
    return result.movedim(-1, 1), low, stride


def torch_sparse(
    x: SparseTensor, min_coords: Tensor | None, max_coords: Tensor | None, contract_coords: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`SparseTensor.sparse`."""
    if not len(x) and (min_coords is None or max_coords is None):
        raise ValueError("min_coords and max_coords are required for a tensor without sites")
    sites = x.C.long()
    low = sites[:, 1:].amin(0).int()[None] if min_coords is None else _corner("min_coords", min_coords, x)
    places, last = sites[:, 1:] - low, None
    if max_coords is not None:
        last = _corner("max_coords", max_coords, x) - low
    if contract_coords:
        places, low = _contracted(places, x.tensor_stride), _contracted(low, x.tensor_stride).int()
        last = None if last is None else _contracted(last, x.tensor_stride)
    where = torch.cat([sites[:, :1], places], 1).t()
    if last is None:
        size = (*(int(n) + 1 for n in where.amax(1)), x.F.shape[1])
    else:
        events = int(sites[:, 0].max()) + 1 if len(sites) else 0
        size = (events, *(int(n) + 1 for n in last[0]), x.F.shape[1])
    result = torch.sparse_coo_tensor(where, x.F, size, check_invariants=True)
    return result, low, torch.tensor(x.tensor_stride, dtype=torch.int32)


def _contracted(places: Tensor, stride: Axes | list[int]) -> Tensor:
    unit = torch.tensor([max(step, 1) for step in stride], device=places.device)
    return torch.div(places, unit, rounding_mode="floor")


def _corner(name: str, given: Any, x: SparseTensor) -> Tensor:
    """``[1, D]`` int32 on the tensor's device. Raises unless it is one integer multiple of the stride per axis."""
    if isinstance(given, int) and not isinstance(given, bool) and given == 0:
        return torch.zeros(1, x.D, dtype=torch.int32, device=x.device)
    if not isinstance(given, Tensor) or given.dtype != torch.int32 or given.numel() != x.D:
        raise TypeError(f"{name} must be 0 or an int32 tensor of {x.D} numbers, got {given!r}")
    corner = given.reshape(1, -1).to(x.device)
    if (corner % torch.tensor([max(step, 1) for step in x.tensor_stride], device=x.device)).any():
        raise ValueError(f"{name} must be multiples of the tensor stride {x.tensor_stride}, got {given.tolist()}")
    return corner
