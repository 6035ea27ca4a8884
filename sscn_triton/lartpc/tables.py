"""Events as plain tables of x, y, z, value, label: npz and CSV. They hold voxels, not particles."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from typing import Any

import numpy as np

from .event import UNKNOWN_LABEL, Event, Prediction, no_particles
from .files import LARGEST_AXIS, EventFile, EventFileError, EventWriter, first_line

AXES = "xyz"
VOXEL_SIZE = 3.0
"""Edge of a voxel in mm where a table does not tell."""

_PREDICTION, _FIELDS = ("predicted", "scores", "classes"), ("labels", "scores", "names")
_IMAGE = ("spatial_shape", "voxel_size", "origin", "name")
_FIRST_LINE = "# sscn events"
_END = "# end: {} events"
_META = re.compile(
    r"# event (\d+): shape (\S+), voxel_size (\S+), origin (\S+), (\d+) voxels, name (.*), crc32 ([0-9a-f]{8})"
)


class NpzWriter(EventWriter):
    """Writes an npz file: for event 0 arrays `0/x`, `0/y`, `0/z`, `0/value` (MeV), `0/label` (-1 unknown) and its
    image, `0/spatial_shape`, `0/voxel_size` and `0/origin` (mm), `0/name`, and where a network was asked its classes,
    `0/predicted`, `0/scores` and their names, `0/classes`; and so on, and at the end `events`, their
    number. Planes have no z. See `EventWriter`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._file = zipfile.ZipFile(self.unfinished, "w", zipfile.ZIP_DEFLATED)

    def _append(self, event: Event) -> None:
        columns = dict(zip(_axes(event), event.coordinates.T, strict=True))
        image = {"spatial_shape": event.spatial_shape, "voxel_size": event.voxel_size, "origin": event.origin}
        columns |= {"value": event.energy, "label": event.labels, **image, "name": event.name}
        if event.prediction is not None:
            columns |= dict(zip(_PREDICTION, (getattr(event.prediction, field) for field in _FIELDS), strict=True))
        for field, values in columns.items():
            self._write(f"{self.count}/{field}", values)

    def _write(self, name: str, values: Any) -> None:
        with self._file.open(f"{name}.npy", "w") as member:
            np.lib.format.write_array(member, np.array(values, order="C"), allow_pickle=False)

    def _close(self, complete: bool) -> None:
        if complete:
            self._write("events", self.count)
        self._file.close()


class NpzEvents(EventFile):
    """The events of an npz file: those `NpzWriter` writes, or one whose arrays are named x, y, z (none for a plane),
    value and, perhaps, label and image, without a number before; see `EventFile`.

    Without spatial_shape an image reaches to its last voxel; without voxel_size voxels have 3 mm; without origin it is
    at 0. Every array is checked against the checksum it was stored with.
    """

    def _open(self) -> Any:
        try:
            return np.load(self.path, allow_pickle=False)
        except Exception as error:
            raise EventFileError(f"{self.path}: not an npz file, or one cut short ({first_line(error)})") from error

    def _count(self) -> int:
        if not hasattr(self.handle, "files"):
            raise EventFileError(f"{self.path}: not an npz file but a single array")
        names = set(self.handle.files)
        self.single = "value" in names
        count = 1 if self.single else len({name.split("/")[0] for name in names if "/" in name})
        if not self.single and (told := self._number_told()) != count:
            raise EventFileError(f"{self.path}: neither an array value nor as many events as it tells of ({told})")
        needed = ("x", "y", "value") if self.single else ("x", "y", "value", "label", *_IMAGE)
        for number in range(count):
            for field in needed:
                if self._key(number, field) not in names:
                    raise EventFileError(f"{self.path}: event {number}: no array {self._key(number, field)}")
        return count

    def _number_told(self) -> int | None:
        told = self._array("events", "events") if "events" in self.handle.files else None
        return int(told) if told is not None and told.shape == () and told.dtype.kind in "iu" else None

    def _key(self, number: int, field: str) -> str:
        return field if self.single else f"{number}/{field}"

    def _column(self, number: int, field: str) -> np.ndarray | None:
        key = self._key(number, field)
        if key not in self.handle.files:
            return None
        return self._array(key, f"event {number}: {field}")

    def _array(self, key: str, what: str) -> np.ndarray:
        try:
            return np.asarray(self.handle[key])
        except Exception as error:
            raise EventFileError(f"{self.path}: {what}: cannot be read ({first_line(error)})") from error

    def _read(self, number: int) -> Event:
        columns = {field: self._column(number, field) for field in (*AXES, "value", "label")}
        image = {field: self._column(number, field) for field in _IMAGE}
        predicted = [self._column(number, field) for field in _PREDICTION]
        try:
            event = _event({k: v for k, v in columns.items() if v is not None}, image, f"{self.path.name}:{number}")
            return event.replace(prediction=_prediction(*predicted))
        except (ValueError, TypeError) as error:
            raise EventFileError(f"{self.path}: event {number}: {error}") from error


def _prediction(labels: np.ndarray | None, scores: np.ndarray | None, names: np.ndarray | None) -> Prediction | None:
    if labels is None and scores is None and names is None:
        return None
    if labels is None or scores is None or names is None:
        raise ValueError(f"of {', '.join(_PREDICTION)} all or none must be there")
    return Prediction(labels, scores, tuple(map(str, np.ravel(names))))


class CsvWriter(EventWriter):
    """Writes a CSV file of columns event, x, y, z (none for planes), value (MeV), label (-1 unknown). Every event's
    rows follow a line beginning with `#` that tells its image and a checksum. See `EventWriter`; all events must have
    as many dimensions as the first."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._file = self.unfinished.open("w", encoding="utf-8", newline="\n")
        self._file.write(_FIRST_LINE + "\n")
        self._ndim = 0

    def _append(self, event: Event) -> None:
        if self.count == 0:
            self._ndim = event.ndim
            self._file.write(",".join(["event", *_axes(event), "value", "label"]) + "\n")
        elif event.ndim != self._ndim:
            raise ValueError(f"a CSV file holds events of one dimension, got {self._ndim} and {event.ndim}")
        rows = [
            f"{self.count},{','.join(map(str, site))},{value!s},{label}\n"
            for site, value, label in zip(event.coordinates.tolist(), event.energy, event.labels.tolist(), strict=True)
        ]
        shape, origin = "x".join(map(str, event.spatial_shape)), ";".join(map(repr, event.origin.tolist()))
        meta = f"# event {self.count}: shape {shape}, voxel_size {event.voxel_size!r}, origin {origin}"
        meta = f"{meta}, {len(event)} voxels, name {' '.join(event.name.split())}, crc32 "
        body = "".join(rows)
        self._file.write(f"{meta}{zlib.crc32((meta + body).encode()):08x}\n{body}")

    def _close(self, complete: bool) -> None:
        if complete:
            self._file.write(_END.format(self.count) + "\n")
        self._file.close()


class CsvEvents(EventFile):
    """The events of a CSV file: those `CsvWriter` writes, or any with a header naming columns x, y, z (none for
    planes), value and, perhaps, label and event; see `EventFile`. Rows of one event stand together.

    What a file without `CsvWriter`'s lines leaves open is taken as by `NpzEvents`; damage to its digits cannot be
    found, nor that rows at the end are missing.
    """

    def _open(self) -> Any:
        return self.path.open("rb")

    def _count(self) -> int:
        """One pass over the file, keeping where each event begins."""
        self._starts: list[int] = []
        self._columns: list[str] = []
        own, last, events, place = False, b"", None, 0
        self.handle.seek(0)
        for number, line in enumerate(self.handle):
            if number == 0:
                own = line.rstrip() == _FIRST_LINE.encode()
            if not line.startswith(b"#"):
                if not self._columns:
                    self._columns = self._header(line)
                elif not own and (event := self._event_of(line)) != events:
                    events = event
                    self._starts.append(place)
            elif own and line.startswith(b"# event "):
                self._starts.append(place)
            last, place = line, place + len(line)
        self._starts.append(place - len(last) if own else place)
        self.own = own
        count = len(self._starts) - 1
        if own and last != (_END.format(count) + "\n").encode():
            raise EventFileError(f"{self.path}: cut short, or damaged: its last line does not tell of {count} events")
        if not own and not self._columns:
            raise EventFileError(f"{self.path}: no header; expected columns x, y, z, value, label")
        return count

    def _header(self, line: bytes) -> list[str]:
        columns = [name.strip() for name in line.decode("utf-8", "replace").split(",")]
        if not {"x", "y", "value"} <= set(columns) or len(set(columns)) != len(columns):
            raise EventFileError(f"{self.path}: header {columns[:8]}; expected columns x, y, z, value, label, event")
        return columns

    def _event_of(self, line: bytes) -> bytes:
        if "event" not in self._columns or not line.strip():
            return b""
        return line.split(b",")[self._columns.index("event") : self._columns.index("event") + 1][0].strip()

    def _read(self, number: int) -> Event:
        where = f"{self.path}: event {number}"
        self.handle.seek(self._starts[number])
        text = self.handle.read(self._starts[number + 1] - self._starts[number]).decode("utf-8", "replace")
        image: dict[str, Any] = {}
        if self.own:
            head, _, text = text.partition("\n")
            image = self._image(head, text, where, number)
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        try:
            columns = _parse(lines, self._columns)
            return _event(columns, image, f"{self.path.name}:{number}")
        except (ValueError, TypeError) as error:
            raise EventFileError(f"{where}: {error}") from error

    def _image(self, head: str, body: str, where: str, number: int) -> dict[str, Any]:
        match = _META.fullmatch(head)
        if match is None or int(match[1]) != number:
            raise EventFileError(f"{where}: damaged, its first line is {head[:60]!r}")
        if zlib.crc32((head[: -len(match[7])] + body).encode()) != int(match[7], 16):
            raise EventFileError(f"{where}: damaged, its checksum does not agree")
        return {
            "spatial_shape": np.array(match[2].split("x"), dtype=np.int64),
            "voxel_size": np.float64(match[3]),
            "origin": np.array(match[4].split(";"), dtype=np.float64),
            "name": match[6],
        }


def _axes(event: Event) -> str:
    if event.ndim not in (2, 3):
        raise ValueError(f"a table holds events of 2 or 3 dimensions, got one of {event.ndim}")
    return AXES[: event.ndim]


def _parse(lines: list[str], columns: list[str]) -> dict[str, np.ndarray]:
    """Columns of a CSV file's rows as they are written: energies may have a fraction, all else may not."""
    cells = [line.split(",") for line in lines]
    for row in cells:
        if len(row) != len(columns):
            raise ValueError(f"row {','.join(row)!r} has {len(row)} columns, the header {len(columns)}")
    result = {}
    for place, field in enumerate(columns):
        if field in (*AXES, "value", "label"):
            kind = np.float32 if field == "value" else np.int64
            try:
                result[field] = np.array([row[place] for row in cells], dtype=np.str_).astype(kind)
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{field}: {first_line(error)}") from error
    return result


def _event(columns: dict[str, np.ndarray], image: dict[str, Any], name: str) -> Event:
    axes = [columns[axis] for axis in AXES if axis in columns]
    lengths = {field: values.shape for field, values in columns.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) != 1:
        raise ValueError(f"columns of different lengths, or not columns: {lengths}")
    for axis, values in zip(AXES, axes, strict=False):
        if values.dtype.kind not in "iu" and not (values == np.floor(values)).all():
            raise ValueError(f"{axis}: {values[values != np.floor(values)][0]}, not a voxel's number")
        if len(values) and not (values.min() >= 0 and values.max() < LARGEST_AXIS):
            raise ValueError(f"{axis}: {values.min()} to {values.max()}; allowed are 0 to {LARGEST_AXIS - 1}")
    coordinates = np.column_stack([values.astype(np.int64) for values in axes])
    shape = image.get("spatial_shape")
    if shape is None:
        shape = coordinates.max(0) + 1 if len(coordinates) else np.ones(len(axes), np.int64)
    if len(np.ravel(shape)) != len(axes) or np.max(shape) > LARGEST_AXIS:
        raise ValueError(f"spatial_shape: {np.ravel(shape).tolist()} for {len(axes)} axes of at most {LARGEST_AXIS}")
    size, origin, told = image.get("voxel_size"), image.get("origin"), image.get("name")
    if size is not None and np.size(size) != 1:
        raise ValueError(f"voxel_size must be one length in mm, got {np.size(size)} numbers")
    return Event(
        coordinates,
        columns["value"],
        columns.get("label", np.full(len(coordinates), UNKNOWN_LABEL)),
        no_particles(),
        VOXEL_SIZE if size is None else float(np.ravel(size)[0]),
        np.zeros(len(axes)) if origin is None else origin,
        tuple(int(n) for n in np.ravel(shape)),
        name if told is None else str(told),
    )
