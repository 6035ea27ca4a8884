"""Sparse images from larcv3 HDF5 files, two- and three-dimensional."""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import Any

import numpy as np

from sscn_triton.common.errors import first_line
from sscn_triton.lartpc.event import UNKNOWN_LABEL, Event, no_particles
from sscn_triton.lartpc.files.base import (
    LARGEST_AXIS,
    VOXEL_SIZE,
    EventFile,
    EventFileError,
    never_filled,
    voxel_labels,
)
from sscn_triton.lartpc.files.hdf5 import Reading, open_hdf5
from sscn_triton.lartpc.numbering import NO_TRUTH, names_of_labels

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

    If an entry has several images, one per wire plane, each is a separate event named "file:entry:plane". energies
    and truth name groups of `Data`, for example "sparse3d_data_group"; the end "_group" may be omitted. By default,
    energies is the only sparse group besides that of the labels, or the one of producer `data`, and truth is that of
    producer `fivetypes` of the same dimension, if there is one (if not, or with truth="none", labels are -1).
    truth_means: see `open_events`. In a voxel's number the last axis varies fastest. Lengths are taken to be in cm,
    because the file does not state the unit. Particles are not read. An entry without an image, or with one that was
    never filled, is an empty event with the image of the first filled one.

    projection: read only the images of this plane (larcv's projection_id), one per entry. voxel_size: edge of a voxel
    in mm, in place of the file's; images with unequal edges need it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        energies: str | None = None,
        truth: str | None = None,
        truth_means: str | None = None,
        voxel_size: float | None = None,
        projection: int | None = None,
    ) -> None:
        self.energies, self.truth, self.voxel_size, self.projection = energies, truth, voxel_size, projection
        self.label_names = names_of_labels(truth, truth_means, None)
        super().__init__(path)

    def _open(self) -> Reading:
        return open_hdf5(self.path)

    def _count(self) -> int:
        names = self._try("Data", lambda: self.handle.names("Data"))
        sparse = [name for name in names if _GROUP.fullmatch(name)]
        self._data, self._labels = _choose(str(self.path), sparse, self.energies, self.truth)
        match = _GROUP.fullmatch(self._data)
        assert match
        self.dimensions = int(match[1])
        counts = self._check_group(self._data)
        if self._labels and not np.array_equal(self._check_group(self._labels), counts):
            raise EventFileError(
                f"{self.path}: Data/{self._labels}: entries or planes differ from those of Data/{self._data}"
            )
        self._several = len(counts) > 0 and int(counts.max()) > 1
        self._images = self._chosen(counts)
        return len(self._images)

    def _chosen(self, counts: np.ndarray) -> np.ndarray:
        """Entry, plane and row of the image of every event, -1 for an entry without an image: [events, 3]."""
        rows = np.arange(int(counts.sum()))
        entries = np.repeat(np.arange(len(counts)), counts)
        planes = rows - np.repeat(np.cumsum(counts) - counts, counts)
        images = np.column_stack([entries, planes, rows])
        if self.projection is not None:
            images = images[self._projections() == self.projection]
            if len(np.unique(images[:, 0])) != len(images):
                where = f"{self.path}: Data/{self._data}/image_meta"
                raise EventFileError(f"{where}: an entry has several images of projection {self.projection}")
        bare = np.setdiff1d(np.arange(len(counts)), images[:, 0])
        images = np.concatenate([images, np.column_stack([bare, np.zeros_like(bare), np.full_like(bare, -1)])])
        return images[np.lexsort((images[:, 1], images[:, 0]))]

    def _projections(self) -> np.ndarray:
        """larcv's plane number of every image, after a check that at least one has the requested number."""
        metas = self._table(self._data, "image_meta")
        where = f"{self.path}: Data/{self._data}/image_meta"
        if "projection_id" not in (metas.dtype.names or ()):
            raise EventFileError(f"{where}: no field projection_id, which projection (--projection) needs")
        found = metas["projection_id"]
        if len(found) and not (found == self.projection).any():
            raise EventFileError(
                f"{where}: no image of projection {self.projection}; the file has {np.unique(found).tolist()}"
            )
        return found

    def _check_group(self, group: str) -> np.ndarray:
        """Images of each entry, after a check that the tables exist and follow each other without gaps."""
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
                f"but {lengths['voxel_extents']} in voxel_extents"
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
        entry, plane, image = self._images[number].tolist()
        where = f"{self.path}: event {number}: Data"
        ids, energy = np.zeros(0, np.int64), np.zeros(0, np.float32)
        labels = np.full(0, UNKNOWN_LABEL)
        if self._is_filled(self._data, image):
            shape, origin, voxel_size = self._meta(image, where)
            ids, energy = self._image(self._data, image, shape, where)
            labels = self._labels_of(ids, image, shape, where)
        else:
            shape, origin, voxel_size = self._first_image
        name = f"{self.path.name}:{entry}:{plane}" if self._several and image >= 0 else f"{self.path.name}:{entry}"
        coordinates = np.column_stack(np.unravel_index(ids, shape))
        names = self.label_names
        try:
            return Event(
                coordinates, energy, labels, no_particles(), voxel_size, origin, shape, name, label_names=names
            )
        except ValueError as error:
            raise EventFileError(f"{where}/{self._data}: {error}") from error

    def _meta(self, image: int, where: str) -> tuple[tuple[int, ...], np.ndarray, float]:
        meta = self._item(self._data, "image_meta", image)
        return _meta(meta, f"{where}/{self._data}/image_meta", self.dimensions, self.voxel_size)

    def _is_filled(self, group: str, image: int) -> bool:
        if image < 0:
            return False
        voxels = int(self._item(group, "voxel_extents", image)["N"])
        return not never_filled(voxels, self._item(group, "image_meta", image)["number_of_voxels"].tolist())

    @cached_property
    def _first_image(self) -> tuple[tuple[int, ...], np.ndarray, float]:
        """Shape, origin and voxel size of the first filled image, for images that were never filled."""
        for number, (_, _, image) in enumerate(self._images.tolist()):
            if self._is_filled(self._data, image):
                return self._meta(image, f"{self.path}: event {number}: Data")
        return (1,) * self.dimensions, np.zeros(self.dimensions), self.voxel_size or VOXEL_SIZE

    def _labels_of(self, ids: np.ndarray, image: int, shape: tuple[int, ...], where: str) -> np.ndarray:
        if self._labels is None:
            return np.full(len(ids), UNKNOWN_LABEL)
        meta = self._item(self._labels, "image_meta", image)
        if self._is_filled(self._labels, image) and tuple(meta["number_of_voxels"].tolist()) != shape:
            raise EventFileError(f"{where}/{self._labels}/image_meta: the image differs from the data's {shape}")
        rows = f"{where}/{self._labels}/voxels"
        found = self._image(self._labels, image, shape, where)
        return voxel_labels(ids, *found, self.label_names, (rows, rows), EventFileError)

    def _image(self, group: str, number: int, shape: tuple[int, ...], where: str) -> tuple[np.ndarray, np.ndarray]:
        """Voxel numbers, ascending, and values."""
        where = f"{where}/{group}/voxels"
        extent = self._item(group, "voxel_extents", number)
        first, count = int(extent["first"]), int(extent["N"])
        rows = self._table(group, "voxels", first, first + count)
        ids, values = rows["id"], rows["value"]
        limit = int(np.prod(shape, dtype=object))
        if count and (len(rows) != count or int(ids.max()) >= limit or int(ids.min()) < 0):
            raise EventFileError(
                f"{where}: {len(rows)} voxels with numbers up to {ids.max()}; "
                f"expected {count} voxels with numbers below {limit}"
            )
        if not np.isfinite(values).all():
            raise EventFileError(f"{where}: value {values[~np.isfinite(values)][0]} is not a finite number")
        order = np.argsort(ids, kind="stable")
        ids = ids[order].astype(np.int64)
        if (np.diff(ids) == 0).any():
            raise EventFileError(f"{where}: voxel {ids[:-1][np.diff(ids) == 0][0]} occurs twice")
        return ids, values[order]


def _choose(path: str, sparse: list[str], energies: str | None, truth: str | None) -> tuple[str, str | None]:
    """Names of the two groups, chosen where they are not given."""
    data, labels = (_find(path, sparse, name) for name in (energies, None if truth == NO_TRUTH else truth))
    if data is None:
        others = [name for name in sparse if name != labels and "_fivetypes_" not in name]
        named = [name for name in others if "_data_" in name]
        candidates = others if len(others) == 1 else named
        if len(candidates) != 1:
            raise EventFileError(
                f"{path}: the names do not show which sparse group of Data contains the energies; it has {sparse}: "
                "pass the name of one as energies (--energies NAME)"
            )
        data = candidates[0]
    if labels is None and truth is None:
        fivetypes = f"{data.split('_')[0]}_fivetypes_group"
        labels = fivetypes if fivetypes in sparse else None
    if labels is not None and labels.split("_")[0] != data.split("_")[0]:
        raise EventFileError(
            f"{path}: the labels in {labels} and the energies in {data} have different dimensions"
            ": choose groups of the same dimension"
        )
    return data, labels


def _find(path: str, sparse: list[str], given: str | None) -> str | None:
    if given is None:
        return None
    found = [name for name in (given, f"{given}_group") if name in sparse]
    if not found:
        raise EventFileError(f"{path}: no sparse group {given} in Data; it contains {sparse}")
    return found[0]


def _check_runs(where: str, extents: np.ndarray, length: int) -> None:
    """Check that every extent begins where the previous one ends, and that the last one ends with the table."""
    firsts, counts = extents["first"].astype(np.int64), extents["N"].astype(np.int64)
    ends = np.cumsum(counts)
    if not np.array_equal(firsts, ends - counts) or (ends[-1] if len(ends) else 0) != length:
        raise EventFileError(f"{where}: the extents have gaps, or do not end at row {length}, the last one")


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
            f"{where}: voxels of {edges.tolist()} cm have unequal edges: pass the edge in mm to use as voxel_size "
            "(--voxel_size MM)"
        )
    return shape, origin * _MM_PER_CM, round(float(edges.mean()) * _MM_PER_CM, 9) if voxel_size is None else voxel_size
