"""Events from larcv2 ROOT files, the format of the study's public data sets, read with uproot without larcv."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sscn_triton.common.errors import first_line
from sscn_triton.common.optional import require
from sscn_triton.lartpc.event import PARTICLE_DTYPE, UNKNOWN_LABEL, Event, no_particles, particle_label
from sscn_triton.lartpc.files.base import (
    LARGEST_AXIS,
    VOXEL_SIZE,
    EventFile,
    EventFileError,
    first_bytes,
    never_filled,
    voxel_labels,
)
from sscn_triton.lartpc.numbering import NO_TRUTH, names_of_labels

TREES = {"energies": "sparse3d_data_tree", "truth": "sparse3d_fivetypes_tree", "particles": "particle_mcst_tree"}
"""Names of the trees of the study's data, by content."""

_CHUNK = 64  # entries read at once
_CENTIMETRES = 1  # larcv's code of the unit of its image meta
_MM_PER_CM = 10.0
_META = tuple(f"_meta.{field}" for field in ("_p1.x", "_p1.y", "_p1.z", "_xlen", "_ylen", "_zlen")) + tuple(
    f"_meta.{field}" for field in ("_xnum", "_ynum", "_znum", "_unit")
)
_VOXELS = ("_voxel_v._id", "_voxel_v._value")
_SCALARS = {
    "track_id": "_trackid",
    "parent_track_id": "_parent_trackid",
    "pdg": "_pdg",
    "parent_pdg": "_parent_pdg",
    "energy_init": "_energy_init",
    "energy_deposit": "_energy_deposit",
    "num_voxels": "_num_voxels",
}
_PROCESS = "_process"
_HINTS = {
    "energies": "pass the name of the energy tree as energies (--energies NAME)",
    "truth": "pass the name of the label tree as truth (--truth NAME), or read without labels (--truth none)",
    "particles": "pass the name of the particle tree as particles (--particles NAME), or none (--particles none)",
}
_PLANES = (
    "of two-dimensional images, but only three-dimensional ones, sparse3d_NAME_tree, can be read from larcv2 files"
)
_VECTORS = {
    "momentum": ("_px", "_py", "_pz"),
    "start": ("_vtx._x", "_vtx._y", "_vtx._z"),
    "first_step": ("_first_step._x", "_first_step._y", "_first_step._z"),
    "last_step": ("_last_step._x", "_last_step._y", "_last_step._z"),
    "end": ("_end_pt._x", "_end_pt._y", "_end_pt._z"),
}


class LarcvError(EventFileError):
    """A larcv file that cannot be read; the message names file, entry and field."""


def read_larcv(
    path: str | os.PathLike[str],
    entries: Iterable[int] | None = None,
    *,
    energies: str | None = None,
    truth: str | None = None,
    truth_means: str | None = None,
    particles: str | None = None,
    voxel_size: float | None = None,
) -> list[Event]:
    """The events of a larcv2 ROOT file, all or those of the numbered `entries`, in that order.

    Trees, unless other names are given: `sparse3d_data_tree` (energies, MeV), `sparse3d_fivetypes_tree` (truth: labels
    0 to 4), `particle_mcst_tree`. A name may omit the end `_tree`. With the word "none" for truth or particles
    that tree is not read: labels are -1, the list of particles is empty. truth_means and voxel_size: see
    `open_events`. A voxel's number is `z * nx * ny + y * nx + x`; lengths are in cm in the file and in mm in the event.
    A particle's process is empty if the file does not contain it (uproot, for example, cannot write that branch). An
    entry that was never filled is an empty event with the image of the first filled one.

    Raises FileNotFoundError, IndexError for an entry that the file does not have, and LarcvError (a ValueError) for a
    file that has another format, is truncated or inconsistent, or contains impossible values.
    """
    path = Path(path)
    first_bytes(path)
    wanted = _Wanted(energies, truth, truth_means, particles, voxel_size)
    with closing(_Trees(path, wanted)) as trees:
        numbers = list(range(trees.entries)) if entries is None else [int(entry) for entry in entries]
        for number in numbers:
            if not 0 <= number < trees.entries:
                raise IndexError(f"{path}: there is no entry {number}; the file has {trees.entries}, numbered from 0")
        return [event for run in _runs(numbers) for event in trees.read(run)]


class _Wanted:
    """What to read from a file: names of trees by content, the names of labels, a voxel's edge."""

    def __init__(
        self,
        energies: str | None,
        truth: str | None,
        truth_means: str | None,
        particles: str | None,
        voxel_size: float | None,
    ) -> None:
        named = {"energies": energies, "truth": truth, "particles": particles}
        self.trees = {
            role: name or TREES[role] for role, name in named.items() if role == "energies" or name != NO_TRUTH
        }
        self.label_names = names_of_labels(truth, truth_means, None)
        self.voxel_size = voxel_size


class LarcvEvents(EventFile):
    """The events of a larcv2 ROOT file, one per entry; see `EventFile` and, for the content, `read_larcv`.

    Flipped bits are detected in compressed parts (deflate and LZ4 carry checksums), in the structure, and where they
    make a value impossible; not in other parts that ROOT stored uncompressed, as it does if a list would not shrink.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        energies: str | None = None,
        truth: str | None = None,
        truth_means: str | None = None,
        particles: str | None = None,
        voxel_size: float | None = None,
    ) -> None:
        self._wanted = _Wanted(energies, truth, truth_means, particles, voxel_size)
        super().__init__(path)

    def _open(self) -> _Trees:
        return _Trees(self.path, self._wanted)

    def _count(self) -> int:
        return int(self.handle.entries)

    def _read(self, number: int) -> Event:
        return self.handle.read(range(number, number + 1))[0]

    def __iter__(self) -> Iterator[Event]:
        for run in _runs(list(range(len(self)))):
            yield from self.handle.read(run)


class _Trees:
    """An open file and the wanted trees of it, which all have the same number of entries."""

    def __init__(self, path: Path, wanted: _Wanted) -> None:
        self.path, self.wanted = path, wanted
        self._file = _open(path)
        try:
            self._trees = {role: _Tree(self._file, path, name, role) for role, name in wanted.trees.items()}
            first = self._trees["energies"]
            self.entries = first.entries
            for tree in self._trees.values():
                if tree.entries != self.entries:
                    raise LarcvError(
                        f"{path}: {tree.name} has {tree.entries} entries, but {first.name} has {self.entries}"
                    )
        except BaseException:
            self.close()
            raise

    def read(self, run: range) -> list[Event]:
        """Events of consecutive entries."""
        columns = {
            role: {field: tree.read(field, run) for field in tree.fields()} for role, tree in self._trees.items()
        }
        events = []
        for place, entry in enumerate(run):
            row = {role: {field: values[place] for field, values in fields.items()} for role, fields in columns.items()}
            events.append(self._event(row, f"{self.path}: entry {entry}", f"{self.path.name}:{entry}"))
        return events

    def _event(self, row: dict[str, dict[str, Any]], where: str, name: str) -> Event:
        at = {role: f"{where}: {tree.name}" for role, tree in self._trees.items()}
        data, size = row["energies"], self.wanted.voxel_size
        shape, origin, voxel_size = self._image if _is_unset(data) else _meta(data, at["energies"], size)
        ids, energy = _voxels(data, shape, at["energies"])
        labels = np.full(len(ids), UNKNOWN_LABEL)
        if "truth" in row:
            labels = self._labels(row["truth"], ids, shape, at["truth"])
        particles = no_particles()
        if "particles" in row:
            particles = _particles(row["particles"], at["particles"])
        coordinates = np.column_stack(np.unravel_index(ids, shape, order="F"))
        names = self.wanted.label_names
        try:
            return Event(coordinates, energy, labels, particles, voxel_size, origin, shape, name, label_names=names)
        except ValueError as error:
            raise LarcvError(f"{where}: {error}") from error

    def _labels(self, fields: dict[str, Any], ids: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
        if not _is_unset(fields):
            label_shape, _, _ = _meta(fields, where, self.wanted.voxel_size)
            if label_shape != shape:
                raise LarcvError(f"{where}/_meta: the image has {label_shape} voxels, but the data's has {shape}")
        label_ids, values = _voxels(fields, shape, where)
        at = f"{where}/_voxel_v._id", f"{where}/_voxel_v._value"
        return voxel_labels(ids, label_ids, values, self.wanted.label_names, at, LarcvError)

    @cached_property
    def _image(self) -> tuple[tuple[int, ...], np.ndarray, float]:
        """Shape, origin and voxel size of the first filled entry, for the entries that were never filled."""
        tree, every = self._trees["energies"], range(self.entries)
        numbers = np.column_stack([tree.read(f"_meta._{axis}num", every) for axis in "xyz"])
        for entry, shape in enumerate(numbers.tolist()):
            if not never_filled(0, shape):
                row = {field: tree.read(field, range(entry, entry + 1))[0] for field in _META}
                where = f"{self.path}: entry {entry}: {tree.name}"
                return _meta(row, where, self.wanted.voxel_size)
        return (1, 1, 1), np.zeros(3), self.wanted.voxel_size or VOXEL_SIZE

    def close(self) -> None:
        self._file.close()


def _runs(numbers: list[int]) -> Iterator[range]:
    """Split a list into ranges of consecutive entries, each of which is read at once."""
    start = 0
    for place in range(1, len(numbers) + 1):
        is_last = place == len(numbers)
        if is_last or numbers[place] != numbers[place - 1] + 1 or place - start == _CHUNK:
            yield range(numbers[start], numbers[start] + place - start)
            start = place


def _open(path: Path) -> Any:
    require("uproot")
    import uproot

    try:
        return uproot.open(path)
    except Exception as error:
        raise LarcvError(f"{path}: not a ROOT file, or a truncated one ({first_line(error)})") from error


class _Tree:
    """One tree of a file: branches by the last part of their names."""

    def __init__(self, file: Any, path: Path, name: str, role: str) -> None:
        self.path, self.name, self.role = path, name, role
        try:
            held = file.keys(cycle=False, recursive=False)
            found = [key for key in (name, f"{name}_tree") if key in held]
            if not found:
                planes = sorted(key for key in held if key.startswith("sparse2d_"))
                if planes and not any(key.startswith("sparse3d_") for key in held):
                    raise LarcvError(f"{path}: no tree {name}; its trees {planes} are {_PLANES}")
                raise LarcvError(f"{path}: no tree {name}; the file contains {sorted(held)}; {_HINTS[role]}")
            self.name = found[0]
            if self.name.startswith("sparse2d_"):
                raise LarcvError(f"{path}: {self.name} is {_PLANES}")
            tree = file[self.name]
            self.entries = int(tree.num_entries)
            self._branches = {key.split("/")[-1]: tree[key] for key in tree.keys()}  # noqa: SIM118
        except LarcvError:
            raise
        except Exception as error:
            raise LarcvError(f"{path}: {name}: cannot be read ({first_line(error)})") from error

    def __contains__(self, field: str) -> bool:
        return field in self._branches

    def fields(self) -> list[str]:
        """The branches that an event needs."""
        if self.role != "particles":
            return [*_VOXELS, *_META]
        fields = [*_SCALARS.values(), *(field for fields in _VECTORS.values() for field in fields)]
        if f"_part_v.{_PROCESS}" in self:
            fields.append(_PROCESS)
        return [f"_part_v.{field}" for field in fields]

    def read(self, field: str, run: range) -> np.ndarray:
        """Values of a branch, one item per entry."""
        if field not in self:
            raise LarcvError(f"{self.path}: {self.name}: no branch {field}")
        where = f"{self.path}: entries {run.start} to {run.stop - 1}: {self.name}/{field}"
        try:
            values = self._branches[field].array(entry_start=run.start, entry_stop=run.stop, library="np")
        except Exception as error:
            raise LarcvError(f"{where}: cannot be read ({first_line(error)})") from error
        if len(values) != len(run):
            raise LarcvError(f"{where}: {len(values)} entries, expected {len(run)}")
        return values


def _meta(fields: dict[str, Any], where: str, voxel_size: float | None) -> tuple[tuple[int, ...], np.ndarray, float]:
    shape = tuple(int(fields[f"_meta._{axis}num"]) for axis in "xyz")
    sizes = np.array([fields[f"_meta._{axis}len"] for axis in "xyz"], dtype=np.float64)
    origin = np.array([fields[f"_meta._p1.{axis}"] for axis in "xyz"], dtype=np.float64)
    if fields["_meta._unit"] != _CENTIMETRES:
        raise LarcvError(f"{where}/_meta._unit: {fields['_meta._unit']}, expected {_CENTIMETRES} (cm)")
    if min(shape) < 1 or max(shape) > LARGEST_AXIS:
        raise LarcvError(
            f"{where}/_meta._xnum, _ynum, _znum: {shape} voxels; the allowed range is 1 to {LARGEST_AXIS} per axis"
        )
    if not np.isfinite(sizes).all() or min(sizes) <= 0:
        raise LarcvError(f"{where}/_meta._xlen, _ylen, _zlen: {sizes.tolist()} cm; expected cubes of positive size")
    if voxel_size is None and np.ptp(sizes) > 1e-6 * max(sizes):
        raise LarcvError(
            f"{where}/_meta._xlen, _ylen, _zlen: {sizes.tolist()} cm; expected cubes: pass the edge in mm to use as "
            "voxel_size (--voxel_size MM)"
        )
    if not np.isfinite(origin).all():
        raise LarcvError(f"{where}/_meta._p1: {origin.tolist()} is not finite")
    edge = round(float(sizes.mean()) * _MM_PER_CM, 9) if voxel_size is None else voxel_size
    return shape, origin * _MM_PER_CM, edge


def _is_unset(fields: dict[str, Any]) -> bool:
    return never_filled(len(fields[_VOXELS[0]]), [fields[f"_meta._{axis}num"] for axis in "xyz"])


def _voxels(fields: dict[str, Any], shape: tuple[int, ...], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Voxel numbers and values, ascending by number."""
    ids, values = (np.asarray(fields[name]) for name in _VOXELS)
    if len(ids) != len(values):
        raise LarcvError(f"{where}/_voxel_v: {len(ids)} voxel numbers but {len(values)} values")
    limit = int(np.prod(shape, dtype=object))
    if len(ids) and int(ids.max()) >= limit:
        raise LarcvError(f"{where}/_voxel_v._id: voxel {ids.max()} lies outside the image of {limit} voxels {shape}")
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise LarcvError(f"{where}/_voxel_v._value: {values[first]} at voxel {ids[first]} is not a finite number")
    order = np.argsort(ids, kind="stable")
    ids = ids[order].astype(np.int64)
    if (np.diff(ids) == 0).any():
        raise LarcvError(f"{where}/_voxel_v._id: voxel {ids[:-1][np.diff(ids) == 0][0]} occurs twice")
    return ids, values[order]


def _particles(fields: dict[str, Any], where: str) -> np.ndarray:
    fields = {field.removeprefix("_part_v."): values for field, values in fields.items()}
    lengths = {field: len(values) for field, values in fields.items()}
    if len(set(lengths.values())) != 1:
        least, most = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise LarcvError(
            f"{where}: {lengths[least]} particles in _part_v.{least}, but {lengths[most]} in _part_v.{most}"
        )
    particles = np.zeros(lengths["_pdg"], dtype=PARTICLE_DTYPE)
    for field, branch in _SCALARS.items():
        particles[field] = fields[branch]
    if _PROCESS in fields:
        particles["process"] = fields[_PROCESS]
    for field, branches in _VECTORS.items():
        unit = 1.0 if field == "momentum" else _MM_PER_CM
        particles[field] = np.column_stack([np.asarray(fields[branch], dtype=np.float64) for branch in branches]) * unit
    particles["label"] = [
        particle_label(int(row["pdg"]), int(row["parent_pdg"]), str(row["process"])) for row in particles
    ]
    return particles
