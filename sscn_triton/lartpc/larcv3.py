"""Sparse images from larcv3 HDF5 files, two- and three-dimensional."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from .event import UNKNOWN_LABEL, Event, no_particles
from .files import LARGEST_AXIS, EventFile, EventFileError, first_line, voxel_labels
from .hdf5 import Reading, open_hdf5

_GROUP = re.compile(r"sparse([23])d_(.+)_group")
_TABLES = {
    "extents": ("first", "N"),
    "voxel_extents": ("first", "ID", "N"),
    "image_meta": ("image_sizes", "number_of_voxels", "origin"),
    "voxels": ("id", "value"),
}
_MM_PER_CM = 10.0


class Larcv3Events(EventFile):
    """The sparse images of one producer in a larcv3 file, each an event; see `EventFile`.

    Of an entry with several images, one a wire plane, each is an event of its own, named "file:entry:plane". data and
    labels name groups of `Data`, "sparse3d_data_group" for one; left out, data is the only sparse group but that of the
    labels, or the one of producer `data`, and labels those of producer `fivetypes` of the same dimension, if there are
    any (else labels are -1). A voxel's number has the last axis fastest. Lengths are taken to be in cm, as the file
    does not tell. Particles are not read.

    voxel_size: edge of a voxel in mm to be taken in place of the file's, as images of unequal edges need.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        data: str | None = None,
        labels: str | None = None,
        voxel_size: float | None = None,
    ) -> None:
        self.data, self.labels, self.voxel_size = data, labels, voxel_size
        super().__init__(path)

    def _open(self) -> Reading:
        return open_hdf5(self.path)

    def _count(self) -> int:
        names = self._try("Data", lambda: self.handle.names("Data"))
        sparse = [name for name in names if _GROUP.fullmatch(name)]
        self.data, self.labels = _choose(str(self.path), sparse, self.data, self.labels)
        match = _GROUP.fullmatch(self.data)
        assert match
        self.dimensions = int(match[1])
        self._voxels: dict[str, int] = {}
        counts = {group: self._check_group(group) for group in (self.data, self.labels) if group}
        if self.labels and not np.array_equal(counts[self.labels], counts[self.data]):
            raise EventFileError(f"{self.path}: Data/{self.labels}: other entries or planes than Data/{self.data}'s")
        self._images = np.repeat(np.arange(len(counts[self.data])), counts[self.data])
        self._planes = np.arange(len(self._images)) - np.repeat(
            np.cumsum(counts[self.data]) - counts[self.data], counts[self.data]
        )
        return len(self._images)

    def _check_group(self, group: str) -> np.ndarray:
        """Images of each entry, after a check that the tables are there and follow each other without gaps."""
        for table, fields in _TABLES.items():
            where = f"Data/{group}/{table}"
            found = self._try(where, lambda where=where: self.handle.fields(where))
            missing = [field for field in fields if field not in found]
            if missing:
                raise EventFileError(f"{self.path}: Data/{group}/{table}: no field {missing[0]}")
        extents, images = self._table(group, "extents"), self._table(group, "voxel_extents")
        lengths = {
            table: self._try(table, lambda table=table: self.handle.length(f"Data/{group}/{table}"))
            for table in _TABLES
        }
        _check_runs(f"{self.path}: Data/{group}/extents", extents, lengths["voxel_extents"])
        _check_runs(f"{self.path}: Data/{group}/voxel_extents", images, lengths["voxels"])
        if lengths["image_meta"] != lengths["voxel_extents"]:
            raise EventFileError(
                f"{self.path}: Data/{group}/image_meta: {lengths['image_meta']} images, "
                f"{lengths['voxel_extents']} in voxel_extents"
            )
        return extents["N"].astype(np.int64)

    def _try(self, field: str, read: Any) -> Any:
        try:
            return read()
        except Exception as error:
            raise EventFileError(f"{self.path}: {field}: cannot be read ({first_line(error)})") from error

    def _table(self, group: str, table: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        where = f"Data/{group}/{table}"
        return np.asarray(self._try(where, lambda: self.handle.rows(where, start, stop)))

    def _item(self, group: str, table: str, number: int) -> np.ndarray:
        where = f"Data/{group}/{table}"
        return np.asarray(self._try(where, lambda: self.handle.item(where, number)))

    def _read(self, number: int) -> Event:
        entry, plane = int(self._images[number]), int(self._planes[number])
        where = f"{self.path}: event {number}: Data"
        assert self.data
        meta = self._item(self.data, "image_meta", number)
        shape, origin, voxel_size = _meta(meta, f"{where}/{self.data}/image_meta", self.dimensions, self.voxel_size)
        ids, energy = self._image(self.data, number, shape, where)
        labels = np.full(len(ids), UNKNOWN_LABEL)
        if self.labels:
            meta = self._item(self.labels, "image_meta", number)
            if tuple(meta["number_of_voxels"].tolist()) != shape:
                raise EventFileError(f"{where}/{self.labels}/image_meta: another image than the data's {shape}")
            rows = f"{where}/{self.labels}/voxels"
            found = self._image(self.labels, number, shape, where)
            labels = voxel_labels(ids, *found, (rows, rows), EventFileError)
        several = len(self._images) > 0 and self._planes.max() > 0
        name = f"{self.path.name}:{entry}:{plane}" if several else f"{self.path.name}:{entry}"
        coordinates = np.column_stack(np.unravel_index(ids, shape))
        try:
            return Event(coordinates, energy, labels, no_particles(), voxel_size, origin, shape, name)
        except ValueError as error:
            raise EventFileError(f"{where}/{self.data}: {error}") from error

    def _image(self, group: str, number: int, shape: tuple[int, ...], where: str) -> tuple[np.ndarray, np.ndarray]:
        """Voxel numbers, ascending, and values."""
        where = f"{where}/{group}/voxels"
        extent = self._item(group, "voxel_extents", number)
        first, count = int(extent["first"]), int(extent["N"])
        rows = self._table(group, "voxels", first, first + count)
        ids, values = rows["id"], rows["value"]
        limit = int(np.prod(shape, dtype=object))
        if count and (len(rows) != count or int(ids.max()) >= limit or int(ids.min()) < 0):
            raise EventFileError(f"{where}: {len(rows)} voxels, the last {ids.max()}; expected {count} below {limit}")
        if not np.isfinite(values).all():
            raise EventFileError(f"{where}: value {values[~np.isfinite(values)][0]}, not a finite number")
        order = np.argsort(ids, kind="stable")
        ids = ids[order].astype(np.int64)
        if (np.diff(ids) == 0).any():
            raise EventFileError(f"{where}: voxel {ids[:-1][np.diff(ids) == 0][0]} occurs twice")
        return ids, values[order]


def _choose(path: str, sparse: list[str], data: str | None, labels: str | None) -> tuple[str, str | None]:
    """Names of the two groups, as far as they are not given."""
    for given in (data, labels):
        if given is not None and given not in sparse:
            raise EventFileError(f"{path}: no sparse group {given} in Data; it holds {sparse}")
    if data is None:
        others = [name for name in sparse if name != labels and "_fivetypes_" not in name]
        named = [name for name in others if "_data_" in name]
        candidates = others if len(others) == 1 else named
        if len(candidates) != 1:
            raise EventFileError(
                f"{path}: Data must hold one sparse group of energies, or one of data; it has {sparse}"
            )
        data = candidates[0]
    if labels is None:
        fivetypes = f"{data.split('_')[0]}_fivetypes_group"
        labels = fivetypes if fivetypes in sparse else None
    return data, labels


def _check_runs(where: str, extents: np.ndarray, length: int) -> None:
    """Every extent begins where the one before it ends, and the last ends with the table."""
    firsts, counts = extents["first"].astype(np.int64), extents["N"].astype(np.int64)
    ends = np.cumsum(counts)
    if not np.array_equal(firsts, ends - counts) or (ends[-1] if len(ends) else 0) != length:
        raise EventFileError(f"{where}: extents do not follow each other, or not to the end of {length} rows")


def _meta(
    meta: np.ndarray, where: str, dimensions: int, voxel_size: float | None
) -> tuple[tuple[int, ...], np.ndarray, float]:
    shape = tuple(int(n) for n in np.ravel(meta["number_of_voxels"]))
    sizes, origin = (np.ravel(meta[field]).astype(np.float64) for field in ("image_sizes", "origin"))
    if len(shape) != dimensions or min(shape) < 1 or max(shape) > LARGEST_AXIS:
        raise EventFileError(f"{where}: {shape} voxels; expected {dimensions} axes of 1 to {LARGEST_AXIS}")
    edges = sizes / shape
    if not np.isfinite(origin).all() or not np.isfinite(edges).all() or min(edges) <= 0:
        raise EventFileError(
            f"{where}: origin {origin.tolist()}, image sizes {sizes.tolist()}; expected finite lengths"
        )
    if voxel_size is None and np.ptp(edges) > 1e-6 * max(edges):
        raise EventFileError(
            f"{where}: voxels of {edges.tolist()} cm have unequal edges: give Larcv3Events the voxel_size to take"
        )
    return shape, origin * _MM_PER_CM, round(float(edges.mean()) * _MM_PER_CM, 9) if voxel_size is None else voxel_size
