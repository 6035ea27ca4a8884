"""Features of a sparse tensor at points: of the voxel that contains each point, or interpolated between voxels."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from sscn_triton.core import rulebook
from sscn_triton.core.arguments import INTEGERS, kind
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.core.voxels import (
    Lengths,
    checked_batch,
    checked_extent,
    checked_positions,
    checked_voxel_size,
    lengths,
)
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import sort_events, spread_events, sum_events

MISSING = ("renormalize", "zero")


def find_rows(x: SparseTensor, coordinates: Tensor) -> Tensor:
    """The row of ``x`` at each of ``coordinates``, or -1 where no site is active: ``[M]`` int64.

    ``coordinates`` are ``[M, 1 + D]`` integers, batch index first: any integers, including repeated sites and sites
    outside ``x.spatial_shape``. The host waits once for the device.
    """
    if not isinstance(coordinates, Tensor) or coordinates.dtype not in INTEGERS:
        raise TypeError(f"coordinates must be an integer tensor [M, {1 + x.ndim}], got {kind(coordinates)}")
    if coordinates.ndim != 2 or coordinates.shape[1] != 1 + x.ndim:
        raise ValueError(
            f"coordinates must be [M, {1 + x.ndim}], batch index first, got shape {tuple(coordinates.shape)}"
        )
    if coordinates.device != x.device:
        raise ValueError(f"coordinates are on {coordinates.device}, but the tensor is on {x.device}: put both on one")
    sites = x.coordinates
    if not len(sites) or not len(coordinates):
        return coordinates.new_full((len(coordinates),), -1, dtype=torch.int64)
    low, high = (bound.long() for bound in sites.aminmax(dim=0))
    wanted = coordinates.long()
    among = ((wanted >= low) & (wanted <= high)).all(1)
    # Sites of x are distinct and come first, so unique numbers all distinct sites by the rows of x.
    _, number = rulebook.unique(torch.cat([sites, torch.minimum(torch.maximum(wanted, low), high).int()]))
    rows = number[len(sites) :]
    return torch.where(among & (rows < len(sites)), rows, -1)


def nearest(
    x: SparseTensor,
    positions: Tensor,
    *,
    batch: Tensor | None = None,
    voxel_size: Lengths = 1.0,
    origin: Lengths = 0.0,
) -> tuple[Tensor, Tensor]:
    """Features of the voxel that contains each point: of all voxels, active or not, the one with the nearest centre.

    Args:
        x: N sites, C channels; gradients of any order reach its features.
        positions: ``[M, D]`` finite real numbers, anywhere.
        batch: ``[M]`` integers in ``0 <= batch < x.batch_size``: the event of each point; optional if ``x`` has at most
            one event.
        voxel_size, origin: as in `sscn_triton.quantize`: voxel c reaches from ``origin + c * voxel_size`` to ``origin +
            (c + 1) * voxel_size``. After a layer of stride 2, voxels are twice as large.

    Returns:
        ``(features, found)``: ``[M, C]``, zeros where the voxel is not active, and ``[M]`` bool, whether it is active.

    Raises:
        TypeError, ValueError: before any work.
    """
    where, events = _in_voxels(x, positions, batch, voxel_size, origin)
    rows = _rows_of(x, events, where.detach().floor())
    found = rows >= 0
    points = found.nonzero()[:, 0]
    at = spread_events(x.features, sort_events(rows.index_select(0, points), len(x)))
    return at.new_zeros(len(positions), at.shape[1]).index_copy(0, points, at), found


def interpolate(
    x: SparseTensor,
    positions: Tensor,
    *,
    batch: Tensor | None = None,
    voxel_size: Lengths = 1.0,
    origin: Lengths = 0.0,
    missing: str = "renormalize",
) -> tuple[Tensor, Tensor]:
    """Features at each point, interpolated linearly along every axis between the centres of the 2^D voxels around it.

    Args:
        x, positions, batch, voxel_size, origin: as in `nearest`. The centre of voxel c is at ``origin + (c + 0.5) *
            voxel_size``. Gradients of any order reach both the features and the positions.
        missing: how to treat a voxel that is not active: "renormalize" leaves it out, so that the weights of the
            others add up to 1; "zero" uses zeros.

    Returns:
        ``(features, found)``: ``[M, C]``, and ``[M]`` bool: whether an active voxel has a weight above 0; if none
        has, the features are zeros.

    Raises:
        TypeError, ValueError: before any work.
    """
    if missing not in MISSING:
        raise ValueError(f"missing must be one of {', '.join(MISSING)}, got {missing!r}")
    where, events = _in_voxels(x, positions, batch, voxel_size, origin)
    where = where - 0.5
    below = where.detach().floor()
    beyond = where - below  # [M, D], 0 to 1
    corners = torch.tensor(list(itertools.product((0, 1), repeat=x.ndim)), device=x.device)
    weights = torch.where(corners.bool(), beyond[:, None], 1 - beyond[:, None]).prod(2)  # [M, 2^D]
    sites = (below[:, None] + corners).flatten(0, 1)
    rows = _rows_of(x, events.repeat_interleave(len(corners)), sites)
    pairs = (rows >= 0).nonzero()[:, 0]
    weight = weights.flatten().index_select(0, pairs)[:, None]
    points = sort_events(pairs // len(corners), len(positions))
    wide = widened(x.features)
    at = spread_events(wide, sort_events(rows.index_select(0, pairs), len(x)))
    total = sum_events(at * weight.to(wide.dtype), points)
    share = sum_events(weight, points)
    found = share[:, 0] > 0
    if missing == "renormalize":
        total = total / torch.where(found[:, None], share, 1.0).to(wide.dtype)
    return total.to(x.dtype), found


def _in_voxels(
    x: SparseTensor, positions: Tensor, batch: Tensor | None, voxel_size: Lengths, origin: Lengths
) -> tuple[Tensor, Tensor]:
    """Positions in voxels from the origin, ``[M, D]`` float64, and their events, ``[M]`` int64, all checked."""
    if not isinstance(x, SparseTensor):
        raise TypeError(f"x must be a SparseTensor, got {type(x).__name__}")
    checked_positions(positions, x.ndim)
    if positions.device != x.device:
        raise ValueError(f"positions are on {positions.device}, but the tensor is on {x.device}: put both on one")
    sizes, corner = checked_voxel_size(voxel_size, x.ndim), lengths(origin, x.ndim, "origin")
    events = checked_batch(batch, positions)
    if batch is None and x.batch_size > 1:
        raise ValueError(f"the tensor has {x.batch_size} events: pass the event of each position, batch=[M] integers")
    if len(positions):
        checked_extent(positions)
        if batch is not None:
            least, most = torch.stack(events.aminmax()).tolist()
            if least < 0 or most >= x.batch_size:
                raise ValueError(f"batch runs from {least} to {most}; the allowed range is 0 to {x.batch_size - 1}")
    wide = positions.double()
    return (wide - wide.new_tensor(corner)) / wide.new_tensor(sizes), events


def _rows_of(x: SparseTensor, events: Tensor, sites: Tensor) -> Tensor:
    """`find_rows` of the sites ``[M, D]``, integers of any size in float64."""
    limit = 2.0**31  # x has no site there
    return find_rows(x, torch.cat([events[:, None], sites.clamp(-limit - 1, limit).long()], 1))
