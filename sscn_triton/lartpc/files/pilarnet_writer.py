"""Writes PILArNet-M's HDF5 layout, documented in `pilarnet`: any process packs events, one appends them in batches.

HDF5 writes to a `StagedFile`, so it never encounters a full disk. The file is closed after every batch: its bytes
depend only on the batches, not on whether one process appended all of them.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sscn_triton.common.optional import require
from sscn_triton.common.staged import StagedFile, undisturbed
from sscn_triton.lartpc.event import Event, Prediction
from sscn_triton.lartpc.files.base import EventWriter
from sscn_triton.lartpc.files.pilarnet_layout import EXTENT, IMAGE, OWN, ROW_TYPES, ROWS, STORED_PARTICLE
from sscn_triton.lartpc.files.pilarnet_rows import as_rows, row_order

BATCH = 20
"""The most events that are appended at once."""
BATCH_BYTES = 2**24
"""Their approximate size in memory."""


@dataclass(frozen=True)
class Packed:
    """An event in the form in which the file stores it."""

    rows: tuple[np.ndarray, np.ndarray, np.ndarray]
    image: np.ndarray
    particles: np.ndarray
    prediction: Prediction | None

    @property
    def nbytes(self) -> int:
        scores = 0 if self.prediction is None else self.prediction.scores.nbytes
        return scores + sum(values.nbytes for values in (*self.rows, self.image, self.particles))


def pack(event: Event) -> Packed:
    """The rows of an event. Raises ValueError if it is not three-dimensional, or if its name is too long."""
    rows, name = as_rows(event), event.name.encode()
    if len(name) > IMAGE["name"].itemsize:
        raise ValueError(f"an event's name may have at most {IMAGE['name'].itemsize} bytes, got {event.name!r}")
    image = np.array([(name, event.voxel_size, event.origin, event.spatial_shape)], dtype=IMAGE)
    prediction = None if event.prediction is None else event.prediction.take(row_order(event))
    return Packed(rows, image, event.particles.astype(STORED_PARTICLE), prediction)


class PilarnetFile:
    """A file being written, new or continued.

    seed, configuration: stored as attributes of a new file, the latter as JSON, with the version of this package.
    """

    def __init__(self, below: StagedFile, seed: int | None = None, configuration: Mapping[str, Any] | None = None):
        self.below = below
        self.count = 0
        if below.seek(0, os.SEEK_END):
            with self._opened("r+") as file:
                self.count = len(file[ROWS[0]])
        else:
            self._begin(seed, dict(configuration or {}))

    def _opened(self, mode: str) -> Any:
        import h5py

        return h5py.File(self.below, mode, libver=("v110", "v110"))

    def _begin(self, seed: int | None, configuration: dict[str, Any]) -> None:
        import h5py

        from sscn_triton import __version__

        attributes = {"format": "PILArNet-M", "revision": "v3", "sscn_version": __version__}
        attributes["configuration"] = json.dumps(configuration, sort_keys=True)
        with undisturbed(), self._opened("w") as file:
            # of fixed length, because HDF5's checksums cover it
            file.attrs.update({name: np.bytes_(text.encode()) for name, text in attributes.items()})
            if seed is not None:
                file.attrs["seed"] = seed
            for name in ROWS:
                _add(file, name, h5py.vlen_dtype(ROW_TYPES[name]), 64)
            _add(file, f"{OWN}/image", IMAGE, 64, gzip=True)
            _add(file, f"{OWN}/checksum", np.dtype((np.uint32, (3,))), 256)
            _add(file, f"{OWN}/extent", EXTENT, 256)
            _add(file, f"{OWN}/particle", STORED_PARTICLE, 256, gzip=True)

    def append(self, events: Sequence[Packed]) -> None:
        """Write events to the disk. Raises OSError if it is full; the previous content stays."""
        with undisturbed():
            if events:
                with self._opened("r+") as file:
                    self._append(file, events)
            self.below.commit()
            self.count += len(events)

    def _append(self, file: Any, events: Sequence[Packed]) -> None:
        for place, name in enumerate(ROWS):
            _extend_rows(file[name], [event.rows[place] for event in events])
        sums = [[zlib.crc32(values.tobytes()) for values in event.rows] for event in events]
        _extend(file[f"{OWN}/checksum"], np.array(sums, dtype=np.uint32))
        _extend(file[f"{OWN}/image"], np.concatenate([event.image for event in events]))
        _extend_parts(file, "particle", "extent", [event.particles for event in events])
        predictions = [event.prediction for event in events if event.prediction is not None]
        if predictions:
            self._append_predictions(file, predictions)

    def _append_predictions(self, file: Any, predictions: list[Prediction]) -> None:
        """Append predictions of voxels in the order of their points."""
        if self.count == 0:
            names = predictions[0].names
            file.attrs["classes"] = np.bytes_(json.dumps(names).encode())
            _add(file, f"{OWN}/scores", np.dtype((np.float32, (len(names),))), 4096, gzip=True)
            _add(file, f"{OWN}/predicted", np.dtype(np.int8), 16384, gzip=True)
            _add(file, f"{OWN}/prediction_extent", EXTENT, 256)
        _extend(file[f"{OWN}/scores"], np.concatenate([prediction.scores for prediction in predictions]))
        _extend_parts(file, "predicted", "prediction_extent", [prediction.labels for prediction in predictions])


def _add(file: Any, name: str, dtype: Any, chunk: int, gzip: bool = False) -> None:
    # HDF5 has no checksums for variable-length rows.
    options: dict[str, Any] = {} if name in ROWS else {"fletcher32": True}
    options |= {"compression": "gzip"} if gzip else {}
    file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(chunk,), **options)


def _extend(dataset: Any, values: np.ndarray) -> None:
    if len(values):
        first = len(dataset)
        dataset.resize(first + len(values), axis=0)
        dataset[first:] = values


def _extend_rows(dataset: Any, rows: list[np.ndarray]) -> None:
    """Append rows of variable length; h5py's own assignment would treat rows of equal length as a matrix."""
    from h5py import h5s, h5t

    values = np.empty(len(rows), dtype=dataset.dtype)
    for number, row in enumerate(rows):
        values[number] = row
    first = len(dataset)
    dataset.resize(first + len(rows), axis=0)
    space = dataset.id.get_space()
    space.select_hyperslab((first,), (len(rows),))
    dataset.id.write(h5s.create_simple((len(rows),)), space, values, h5t.py_create(dataset.dtype))


def _extend_parts(file: Any, values: str, extents: str, parts: list[np.ndarray]) -> None:
    """Append parts to the dataset `values`, and the start and length of each to `extents`."""
    dataset = file[f"{OWN}/{values}"]
    first, counts = len(dataset), [len(part) for part in parts]
    starts = first + np.cumsum([0, *counts[:-1]])
    _extend(file[f"{OWN}/{extents}"], np.array(list(zip(starts, counts, strict=True)), dtype=EXTENT))
    _extend(dataset, np.concatenate(parts))


class PilarnetWriter(EventWriter):
    """Writes three-dimensional events, voxels in the order of their clusters. See `EventWriter`.

    seed, configuration: stored as attributes of the file, the latter as JSON, with the version of this package.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        seed: int | None = None,
        configuration: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        require("h5py")  # before a file is created

        super().__init__(path, overwrite=overwrite)
        self._target = PilarnetFile(StagedFile(self._file), seed, configuration)
        self._waiting: list[Packed] = []
        self._bytes = 0

    def _append(self, event: Event) -> None:
        packed = pack(event)
        self._waiting.append(packed)
        self._bytes += packed.nbytes
        if len(self._waiting) >= BATCH or self._bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._target.append(self._waiting)
        self._waiting, self._bytes = [], 0

    def _finish(self) -> None:
        self._flush()
