"""Events in PILArNet-M's HDF5 layout, which is also the project's own: its tools read our files, and we read theirs.

Three datasets contain one flat row of numbers per event, to be reshaped: `point` [N, 8] (x, y, z, value in MeV, energy
deposited in MeV, time in ns, electrons, dx in mm), `cluster` [M, 6] (size, fragment, group, interaction, shape, pid;
without pid in version 1), `cluster_extra` [M, 5] (mass in MeV, momentum in GeV/c, vertex x, y, z), [M, 6] in version 3
(whether a primary), none in version 1. Vertices are in voxels. Points are in the order of the clusters; the first
cluster, possibly empty, contains the points that belong to none.

Version 3 "extra" has two more datasets: `cluster_extra_2` [M, 5] (momentum x, y, z in GeV/c, PDG and track number of
the parent) and `interaction_extra` [I, 4] (number of an interaction, its vertex x, y, z). -1 stands for unknown. A file
with one of the two is read without what the other would add.

We write version 3. Fields of an `Event` that have no place in the layout are in the group `sscn`, which other tools
ignore: image and name of every event, its particles, the network's prediction, and checksums of its rows.
HDF5 itself detects damage in everything but the rows, because its own checksums do not cover them.
"""

from __future__ import annotations

import json
import os
import zlib
from functools import cached_property
from typing import Any

import numpy as np

from sscn_triton.common.errors import first_line
from sscn_triton.lartpc.event import PARTICLE_DTYPE, Event, Prediction
from sscn_triton.lartpc.files.base import EventFile, EventFileError
from sscn_triton.lartpc.files.hdf5 import Reading, open_hdf5
from sscn_triton.lartpc.files.pilarnet_layout import MORE_ROWS, OWN, ROW_TYPES, ROWS
from sscn_triton.lartpc.files.pilarnet_rows import POINT, as_event, check_image
from sscn_triton.lartpc.numbering import MEANINGS, check_meaning


class PilarnetEvents(EventFile):
    """The events of a PILArNet-M file of version 1, 2 or 3; see `EventFile`. Voxels are in the order of the clusters.

    truth_means: five-types (the default) or shapes, see `open_events`.
    `version` is 1 to 3, `extra` the names of the datasets of version 3 "extra" that the file has, `attributes` the
    file's own description (seed, configuration, ...; empty for public files).

    In files that this package did not write, images have 768 voxels of 3 mm per axis and their origin at 0; every
    cluster with a group is a particle with known group (as `track_id`), kind (from the pid, sign unknown), label,
    energies and voxels; all other lengths and momenta are NaN. In version 3 "extra", `cluster_extra_2` adds momenta
    and the parents' kinds, `interaction_extra` the start of primary particles, and either the process "primary"; the
    parents' track numbers are left out, because the file does not give those of the particles themselves. Energies of
    points in one voxel are summed; the point with the most energy sets the other fields. Such a file has no checksums:
    only impossible values are detected.
    """

    def __init__(self, path: str | os.PathLike[str], truth_means: str | None = None) -> None:
        if truth_means == "numbers":
            raise ValueError(f"{path}: truth_means must be five-types or shapes for PILArNet-M, got numbers")
        self._names = MEANINGS["five-types" if truth_means is None else check_meaning(truth_means)]
        super().__init__(path)

    def _open(self) -> Reading:
        return open_hdf5(self.path)

    def _count(self) -> int:
        names = self._try("", self.handle.names)
        missing = [name for name in ("point", "cluster") if name not in names]
        if missing:
            found = ", ".join(f"{name} ({self._try(name, lambda name=name: self.handle.kind(name))})" for name in names)
            raise EventFileError(
                f"{self.path}: no dataset {missing[0]}; the file contains {found or 'nothing'}; expected point and "
                "cluster of PILArNet-M, or the group Data of larcv3"
            )
        self.extra = tuple(name for name in MORE_ROWS if name in names)
        expected = (*ROWS, *self.extra)
        for name in (name for name in expected if name in names):
            kind = self._try(name, lambda name=name: self.handle.kind(name))
            if not kind.startswith("rows of "):
                raise EventFileError(
                    f"{self.path}: {name} is {kind}; expected one row of numbers of variable length per event, as "
                    "in PILArNet-M"
                )
        self.own = OWN in names
        lengths = {
            name: self._try(name, lambda name=name: self.handle.length(name)) for name in expected if name in names
        }
        if self.own:
            own = self._try(OWN, lambda: self.handle.names(OWN))
            self.predicted = "prediction_extent" in own
            for name in ("image", "checksum", "extent", *(["prediction_extent"] if self.predicted else [])):
                field = f"{OWN}/{name}"
                lengths[field] = self._try(field, lambda field=field: self.handle.length(field))
        for name, length in lengths.items():
            if length != lengths["point"]:
                raise EventFileError(f"{self.path}: {length} rows in {name}, but {lengths['point']} in point")
        self.attributes = self._try("attributes", self._attributes) if self.own else {}
        self.version = self._find_version("cluster_extra" in names, lengths["point"])
        if self.extra and self.version != 3:
            verb = "belong" if len(self.extra) > 1 else "belongs"
            raise EventFileError(
                f"{self.path}: {' and '.join(self.extra)} {verb} to version 3, but "
                + ("cluster_extra is of version 2" if self.version == 2 else "there is no cluster_extra")
            )
        return lengths["point"]

    def _attributes(self) -> dict[str, Any]:
        values = self.handle.attributes()
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}

    def _find_version(self, extra: bool, count: int) -> int:
        if self.own:
            return 3
        for number in range(count):
            clusters = len(self._row("cluster", number))
            if clusters and extra:
                return 3 if len(self._row("cluster_extra", number)) == clusters else 2
            if clusters:
                return 1
        return 3 if extra else 1

    def _try(self, field: str, read: Any) -> Any:
        try:
            return read()
        except Exception as error:
            what = f"{self.path}: {field}" if field else f"{self.path}"
            raise EventFileError(f"{what}: cannot be read ({first_line(error)})") from error

    def _row(self, name: str, number: int) -> np.ndarray:
        where = f"event {number}: {name}"
        row = np.asarray(self._try(where, lambda: self.handle.row(name, number)))
        if row.ndim != 1 or row.dtype.kind not in "fiu":
            raise EventFileError(f"{self.path}: {where}: expected a row of numbers, got {row.dtype} of {row.shape}")
        return row

    def points(self, number: int) -> int:
        """Points that the file has for an event, in several of which a voxel may occur; see `EventFile.points`."""
        return len(self._row("point", number)) // POINT if self._index is None else int(self._index[number])

    @cached_property
    def _index(self) -> np.ndarray | None:
        """The numbers of points in the index that comes with a public file, NAME_points.npy, if it is there."""
        path = self.path.with_name(f"{self.path.stem}_points.npy")
        if self.own or not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                counts = np.lib.format.read_array(file)
        except (OSError, EOFError, ValueError) as error:
            raise EventFileError(f"{path}: cannot be read ({first_line(error)})") from error
        if counts.shape != (len(self),) or counts.dtype.kind not in "iu":
            raise EventFileError(
                f"{path}: expected {len(self)} integers, the numbers of points of the events, "
                f"got {counts.dtype} of {counts.shape}"
            )
        if (counts < 0).any():
            raise EventFileError(
                f"{path}: event {int((counts < 0).argmax())} has {counts.min()} points; expected 0 or more"
            )
        return counts

    def _read(self, number: int) -> Event:
        names = (*(ROWS[:2] if self.version == 1 else ROWS), *(() if self.own else self.extra))
        rows = {name: self._row(name, number) for name in names}
        where = f"{self.path}: event {number}"
        known = self._own(number, rows) if self.own else None
        try:
            return as_event(rows, self.version, f"{self.path.name}:{number}", known, self._names)
        except ValueError as error:
            raise EventFileError(f"{where}: {error}") from error

    def _own(self, number: int, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """The fields without a place in the layout, after a check that the rows are as they were written."""
        where = f"event {number}: {OWN}"
        sums = self._try(f"{where}/checksum", lambda: self.handle.item(f"{OWN}/checksum", number))
        for name, expected in zip(ROWS, sums, strict=True):
            if zlib.crc32(rows[name].astype(ROW_TYPES[name]).tobytes()) != expected:
                raise EventFileError(f"{self.path}: event {number}: {name}: damaged: its checksum does not match")
        image = self._try(f"{where}/image", lambda: self.handle.item(f"{OWN}/image", number))
        first, count = self._try(f"{where}/extent", lambda: self.handle.item(f"{OWN}/extent", number)).tolist()
        stored = self._try(f"{where}/particle", lambda: self.handle.rows(f"{OWN}/particle", first, first + count))
        if len(stored) != count:
            raise EventFileError(f"{self.path}: {where}/particle: {len(stored)} particles, expected {count}")
        shape = check_image(f"{self.path}: {where}/image", image["spatial_shape"])
        return {
            "name": image["name"].decode(),
            "voxel_size": float(image["voxel_size"]),
            "origin": image["origin"],
            "spatial_shape": shape,
            "particles": stored.astype(PARTICLE_DTYPE),
            "prediction": self._prediction(number) if self.predicted else None,
        }

    def _prediction(self, number: int) -> Prediction:
        where = f"event {number}: {OWN}/prediction"

        def read() -> Prediction:
            first, count = self.handle.item(f"{OWN}/prediction_extent", number).tolist()
            scores = self.handle.rows(f"{OWN}/scores", first, first + count)
            names = tuple(json.loads(self.attributes["classes"]))
            return Prediction(self.handle.rows(f"{OWN}/predicted", first, first + count), scores, names)

        return self._try(where, read)
