"""Writes files like larcv's, intact or deliberately damaged: all branches but `_part_v._process`, which uproot
cannot write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from sscn_triton.lartpc import Event

DATA, LABELS, PARTICLES = "sparse3d_data_tree", "sparse3d_fivetypes_tree", "particle_mcst_tree"
Trees = dict[str, dict[str, list[Any]]]

_SCALARS = {"_trackid": "track_id", "_parent_trackid": "parent_track_id", "_pdg": "pdg", "_parent_pdg": "parent_pdg"}
_SCALARS |= {"_energy_init": "energy_init", "_energy_deposit": "energy_deposit", "_num_voxels": "num_voxels"}
_POINTS = {"_vtx": "start", "_first_step": "first_step", "_last_step": "last_step", "_end_pt": "end"}


def trees_of(events: list[Event]) -> Trees:
    """The content of a file: for each tree its branches, for each branch one item per event."""
    trees: Trees = {DATA: {}, LABELS: {}, PARTICLES: {}}
    for event in events:
        x, y, z = event.coordinates.T.astype(np.uint64)
        nx, ny, _ = event.spatial_shape
        ids = z * np.uint64(nx * ny) + y * np.uint64(nx) + x
        for tree, values in ((DATA, event.energy), (LABELS, event.labels)):
            row = {"_voxel_v._id": ids, "_voxel_v._value": values.astype(np.float32), **_meta(event)}
            _append(trees[tree], row)
        _append(trees[PARTICLES], _particles(event.particles))
    return trees


def write_larcv(path: Path, events: list[Event], damage: Callable[[Trees], None] | None = None) -> Path:
    """Write events like larcv, after `damage` has changed the content."""
    trees = trees_of(events)
    if damage:
        damage(trees)
    with uproot.recreate(path) as file:
        for name, branches in trees.items():
            _write_tree(file, name, branches)
    return path


def unfill(trees: Trees, entry: int, names: tuple[str, ...] = (DATA, LABELS, PARTICLES), number: int = 0) -> None:
    """Make an entry one that larcv wrote without filling it: no rows, and an image without numbers."""
    for name in names:
        for field, items in trees[name].items():
            if field == "_meta._unit":
                items[entry] = np.int32(2)  # kUnitUnknown
            elif field.startswith("_meta._p1"):
                items[entry] = 0.0
            elif field.endswith("len"):
                items[entry] = -1.0
            elif field.endswith("num"):
                items[entry] = np.uint64(number)
            else:
                items[entry] = items[entry][:0]


def _write_tree(file: Any, name: str, branches: dict[str, list[Any]]) -> None:
    arrays = {field: _column(items) for field, items in branches.items()}
    file.mktree(name, {field: array.type.content for field, array in arrays.items()})  # words would be parsed, slowly
    file[name].extend(arrays)


def _column(items: list[Any]) -> ak.Array:
    """Numbers, or arrays of them, one item per entry; awkward's conversion would not keep unsigned 64-bit integers."""
    if np.ndim(items[0]) == 0:
        return ak.Array(np.array(items))
    return ak.unflatten(np.concatenate(items), [len(item) for item in items])


def _append(branches: dict[str, list[Any]], row: dict[str, Any]) -> None:
    for field, value in row.items():
        branches.setdefault(field, []).append(value)


def _meta(event: Event) -> dict[str, Any]:
    row: dict[str, Any] = {"_meta._unit": np.int32(1)}
    for axis, origin, count in zip("xyz", event.origin, event.spatial_shape, strict=True):
        row[f"_meta._p1.{axis}"] = float(origin) / 10
        row[f"_meta._{axis}len"] = event.voxel_size / 10
        row[f"_meta._{axis}num"] = np.uint64(count)
    return row


def _particles(particles: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {f"_part_v.{branch}": particles[field].copy() for branch, field in _SCALARS.items()}
    for number, axis in enumerate("xyz"):
        row[f"_part_v._p{axis}"] = particles["momentum"][:, number].copy()
        for branch, field in _POINTS.items():
            row[f"_part_v.{branch}._{axis}"] = particles[field][:, number] / 10
    return row
