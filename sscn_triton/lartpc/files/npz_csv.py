"""Events as plain tables of x, y, z, value, label: npz and CSV. They contain voxels, not particles."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from sscn_triton.common.errors import first_line, shortened
from sscn_triton.lartpc.event import CLASS_NAMES, UNKNOWN_LABEL, Event, Prediction, no_particles
from sscn_triton.lartpc.files.base import LARGEST_AXIS, VOXEL_SIZE, EventFile, EventFileError, EventWriter
from sscn_triton.lartpc.files.csv_rows import (
    AXES,
    BYTE_ORDER_MARK,
    Header,
    cells_of,
    check_separator,
    check_start,
    numbered_cells,
    parse_rows,
    quoted,
)
from sscn_triton.lartpc.numbering import NO_TRUTH, names_in_words, names_of_labels

_PREDICTION, _FIELDS = ("predicted", "scores", "classes"), ("labels", "scores", "names")
_IMAGE = ("spatial_shape", "voxel_size", "origin", "name")
_LABEL_NAMES = "label_names"
_LISTED = 12  # most arrays of a foreign file that a message lists
_FIRST_LINE = "# sscn events"
_END = "# end: {} events"
_OWN_LINE = re.compile(rb"# event \d+: shape|# end: \d+ events")
_OWN_HEADERS = (["event", "x", "y", "value", "label"], ["event", "x", "y", "z", "value", "label"])
_AS_PLAIN = "If all lines that begin with # are removed, it is read as a table without image information"
_META = re.compile(
    r"# event (\d+): shape (\S+), voxel_size (\S+), origin (\S+), (\d+) voxels, name (.*), crc32 ([0-9a-f]{8})"
)


class NpzWriter(EventWriter):
    """Writes an npz file: for event 0, arrays `0/x`, `0/y`, `0/z`, `0/value` (MeV), `0/label` (-1 unknown) and its
    image, `0/spatial_shape`, `0/voxel_size` and `0/origin` (mm), `0/name`; if labels are not of the five classes, their
    names, `0/label_names`; if there is a prediction, its classes, scores and the names of the classes,
    `0/predicted`, `0/scores` and `0/classes`; likewise for the other events; finally `events`, their
    number. Planes have no z. See `EventWriter`."""

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self._archive = _Archive(self._file, "w", zipfile.ZIP_DEFLATED)

    def _append(self, event: Event) -> None:
        columns = dict(zip(_axes(event), event.coordinates.T, strict=True))
        image = {"spatial_shape": event.spatial_shape, "voxel_size": event.voxel_size, "origin": event.origin}
        columns |= {"value": event.energy, "label": event.labels, **image, "name": event.name}
        if event.label_names != CLASS_NAMES:
            columns[_LABEL_NAMES] = event.label_names
        if event.prediction is not None:
            columns |= dict(zip(_PREDICTION, (getattr(event.prediction, field) for field in _FIELDS), strict=True))
        for field, values in columns.items():
            self._write(f"{self.count}/{field}", values)

    def _write(self, name: str, values: Any) -> None:
        entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, so that the same events give the same bytes
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(entry, "w") as member:
            np.lib.format.write_array(member, np.array(values, order="C"), allow_pickle=False)

    def _finish(self) -> None:
        self._write("events", self.count)
        self._archive.close()


class _Archive(zipfile.ZipFile):
    """An archive that only `close` completes: if it is dropped, its file has already been removed."""

    def __del__(self) -> None:
        pass


class NpzEvents(EventFile):
    """The events of an npz file: one that `NpzWriter` wrote, or one whose arrays are named x, y, z (without z for a
    plane), value and, optionally, label and image fields, without a number in front; see `EventFile`.

    energies, truth, truth_means, voxel_size: see `open_events`.

    Without spatial_shape an image extends to its last voxel; without voxel_size voxels are 3 mm; without origin it is
    at 0. Every array is checked against its stored checksum.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        energies: str | None = None,
        truth: str | None = None,
        truth_means: str | None = None,
        voxel_size: float | None = None,
    ) -> None:
        self._names = {"value": energies or "value", "label": truth or "label"}
        self._truth, self._truth_means, self._voxel_size = truth, truth_means, voxel_size
        super().__init__(path)

    def _open(self) -> Any:
        try:
            found = np.load(self.path, allow_pickle=False)
        except Exception as error:
            raise EventFileError(f"{self.path}: not an npz file, or a truncated one ({first_line(error)})") from error
        if not hasattr(found, "files"):
            raise EventFileError(
                f"{self.path}: a single array, not an npz file; np.savez can write arrays x, y, z, value"
            )
        members = found.zip.namelist()
        if members and not any(name.endswith(".npy") for name in members):
            found.close()
            raise EventFileError(f"{self.path}: an archive that contains {members[0]}, not npz: unpack it first")
        return found

    def _count(self) -> int:
        names = set(self.handle.files)
        numbers = {name.split("/")[0] for name in names if re.match(r"\d+/", name)}
        self.single = not ("events" in names and (numbers or names == {"events"}))
        count = 1 if self.single else len(numbers)
        if not self.single and (recorded := self._recorded_count()) != count:
            raise EventFileError(
                f"{self.path}: damaged: it has arrays of {count} events, but its array events says {recorded}"
            )
        needed = ["x", "y", self._names["value"]] + ([] if self.single else list(_IMAGE))
        if self._truth != NO_TRUTH and (self._truth is not None or not self.single):
            needed.append(self._names["label"])
        for number in range(count):
            missing = [field for field in needed if self._key(number, field) not in names]
            if missing:
                raise EventFileError(
                    f"{self.path}: event {number}: no array {self._key(number, missing[0])}; {self._contents()}"
                )
        return count

    def _contents(self) -> str:
        """Describe the content of the file and the expected one."""
        found = [self._described(name) for name in sorted(self.handle.files)[:_LISTED]]
        more = ", ..." if len(self.handle.files) > _LISTED else ""
        expected = (
            "expected columns x, y, z (without z for a plane), value and, optionally, label, with one number per voxel"
        )
        return f"it contains {', '.join(found) + more if found else 'no arrays'}; {expected}"

    def _described(self, name: str) -> str:
        try:
            with self.handle.zip.open(f"{name}.npy") as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
        except Exception:  # not an array, or a damaged one: only its name is known
            return name
        return f"{name} {dtype}{list(shape)}"

    def _recorded_count(self) -> int | None:
        recorded = self._array("events", "events") if "events" in self.handle.files else None
        return int(recorded) if recorded is not None and recorded.shape == () and recorded.dtype.kind in "iu" else None

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
        fields = (*AXES, "value") if self._truth == NO_TRUTH else (*AXES, "value", "label")
        columns = {field: self._column(number, self._names.get(field, field)) for field in fields}
        image = {field: self._column(number, field) for field in _IMAGE}
        predicted = [self._column(number, field) for field in _PREDICTION]
        recorded = self._column(number, _LABEL_NAMES)
        try:
            names = names_of_labels(self._truth, self._truth_means, None if recorded is None else _words(recorded))
            known = {k: v for k, v in columns.items() if v is not None}
            event = _event(known, image, f"{self.path.name}:{number}", names, self._voxel_size)
            return event.replace(prediction=_prediction(*predicted))
        except (ValueError, TypeError) as error:
            raise EventFileError(f"{self.path}: event {number}: {error}") from error


def _prediction(labels: np.ndarray | None, scores: np.ndarray | None, names: np.ndarray | None) -> Prediction | None:
    if labels is None and scores is None and names is None:
        return None
    if labels is None or scores is None or names is None:
        raise ValueError(f"the arrays {', '.join(_PREDICTION)} must all exist, or none of them")
    return Prediction(labels, scores, _words(names))


def _words(values: np.ndarray) -> tuple[str, ...]:
    return tuple(map(str, np.ravel(values)))


class CsvWriter(EventWriter):
    """Writes a CSV file with columns event, x, y, z (without z for planes), value (MeV), label (-1 unknown). The rows
    of every event follow a line beginning with `#` that contains its image and a checksum. See `EventWriter`; all
    events must have the same dimension."""

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        super().__init__(path, overwrite=overwrite)
        self._ndim = 0

    def _write(self, text: str) -> None:
        self._file.write(text.encode())

    def _append(self, event: Event) -> None:
        if event.label_names != CLASS_NAMES:
            raise ValueError(
                f"a CSV file can contain only labels {', '.join(CLASS_NAMES)}; those of {event.name!r} are "
                f"{names_in_words(event.label_names)}: write .npz"
            )
        if self.count == 0:
            self._ndim = event.ndim
            self._write(_FIRST_LINE + "\n" + ",".join(["event", *_axes(event), "value", "label"]) + "\n")
        elif event.ndim != self._ndim:
            raise ValueError(
                f"a CSV file can contain only events of the same dimension, got {self._ndim} and {event.ndim}"
            )
        rows = [
            f"{self.count},{','.join(map(str, site))},{value!s},{label}\n"
            for site, value, label in zip(event.coordinates.tolist(), event.energy, event.labels.tolist(), strict=True)
        ]
        shape, origin = "x".join(map(str, event.spatial_shape)), ";".join(map(repr, event.origin.tolist()))
        meta = f"# event {self.count}: shape {shape}, voxel_size {event.voxel_size!r}, origin {origin}"
        meta = f"{meta}, {len(event)} voxels, name {' '.join(event.name.split())}, crc32 "
        body = "".join(rows)
        self._write(f"{meta}{zlib.crc32((meta + body).encode()):08x}\n{body}")

    def _finish(self) -> None:
        if self.count == 0:
            self._write(_FIRST_LINE + "\n")
        self._write(_END.format(self.count) + "\n")


class CsvEvents(EventFile):
    """The events of a CSV file: one that `CsvWriter` wrote, or any with a header that names columns x, y, z (without z
    for planes), value and, optionally, label and event, as described in `csv_rows`; see `EventFile`. The rows of one
    event must be contiguous: an event that returns after another one is refused.

    energies, truth, truth_means, voxel_size: see `open_events`.

    The defaults for a file without `CsvWriter`'s lines are those of `NpzEvents`; damage to its digits and missing rows
    at its end cannot be detected.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        energies: str | None = None,
        truth: str | None = None,
        truth_means: str | None = None,
        voxel_size: float | None = None,
    ) -> None:
        self._energies, self._truth, self._voxel_size = energies, truth, voxel_size
        self._label_names = names_of_labels(truth, truth_means, None)
        super().__init__(path)

    def _open(self) -> Any:
        return self.path.open("rb")

    def _count(self) -> int:
        """Read the file once and record where each event begins and at which line."""
        self._header: Header | None = None
        self._starts: list[tuple[int, int]] = []
        self._seen: dict[str, int] = {}
        self._event: str | None = None  # the event of the previous line, and its spelling in the file
        self._written = b""
        self._last, self._end = (0, b""), 0
        self.handle.seek(0)
        place, first = 0, self.handle.readline()
        if first.startswith(BYTE_ORDER_MARK):
            place, first = len(BYTE_ORDER_MARK), first[len(BYTE_ORDER_MARK) :]
        self.own = first.rstrip() == _FIRST_LINE.encode()
        number = 1
        try:
            check_start(first)
            for number, line, start in _lines(first, self.handle, place):
                self._note(number, line, start)
        except ValueError as error:
            raise EventFileError(f"{self.path}: line {number}: {error}") from None
        except OSError as error:
            raise EventFileError(f"{self.path}: cannot be read ({first_line(error)})") from error
        if self._header is None and not (self.own and not self._starts):
            raise EventFileError(
                f"{self.path}: no header; expected columns x, y, z (without z for planes), value and label"
            )
        count = len(self._starts)
        if self.own:
            self._end, last = self._last
            if last.rstrip() != _END.format(count).encode():
                raise EventFileError(f"{self.path}: truncated or damaged: its last line is not {_END.format(count)!r}")
        return count

    def _note(self, number: int, line: bytes, place: int) -> None:
        """Examine one line of the file and record it if an event begins with it."""
        self._end = place + len(line)
        if line.startswith(b"#"):
            if self.own and line.startswith(b"# event "):
                self._starts.append((place, number))
            elif not self.own and _OWN_LINE.match(line):
                raise ValueError(f"damaged: the first line of the file is not {_FIRST_LINE!r}. {_AS_PLAIN}")
            if line.strip():
                self._last = place, line
        elif self._header is None:
            if cells := cells_of(line):
                check_separator(line)
                self._header = self._read_header(cells)
        elif line.strip(b", \t\r\n"):
            self._last = place, line
            if not self.own:
                self._note_row(number, line, place)

    def _read_header(self, cells: list[str]) -> Header:
        if self.own and [cell for cell in cells if cell] not in _OWN_HEADERS:
            raise ValueError(f"damaged: the columns are {quoted(','.join(cells))}. {_AS_PLAIN}")
        truth = None if self._truth == NO_TRUTH else self._truth or "label"
        header = Header(cells, self._energies or "value", truth)
        if self._truth not in (None, NO_TRUTH) and "label" not in header:
            raise ValueError(f"no column {self._truth}; the header names {', '.join(header.names)}")
        return header

    def _note_row(self, number: int, line: bytes, place: int) -> None:
        assert self._header
        if self._event is not None and ("event" not in self._header or self._header.is_of_event(line, self._written)):
            return
        event = self._header.event(cells_of(line)) if "event" in self._header else ""
        self._written = event.encode()
        if event == self._event:
            return
        if event in self._seen:
            raise ValueError(
                f"event {event}, which began at line {self._seen[event]}, continues after rows of event {self._event}; "
                "the rows of an event must be contiguous: sort the file by the column event"
            )
        self._seen[event] = number
        self._event = event
        self._starts.append((place, number))

    def _read(self, number: int) -> Event:
        where = f"{self.path}: event {number}"
        assert self._header
        start, line = self._starts[number]
        end = self._starts[number + 1][0] if number + 1 < len(self) else self._end
        self.handle.seek(start)
        try:
            lines = self.handle.read(end - start).splitlines(keepends=True)
        except OSError as error:
            raise EventFileError(f"{where}: cannot be read ({first_line(error)})") from error
        image = self._image(lines, where, number) if self.own else {}
        try:
            columns = parse_rows(self._header, numbered_cells(lines, line), len(self._label_names))
            return _event(columns, image, f"{self.path.name}:{number}", self._label_names, self._voxel_size)
        except (ValueError, TypeError) as error:
            raise EventFileError(f"{where}: {error}") from error

    def _image(self, lines: list[bytes], where: str, number: int) -> dict[str, Any]:
        """The content of an event's first line, after a check that its rows are as they were written, apart from line
        ends."""
        head, *body = [line.decode("utf-8", "replace").rstrip("\r\n") for line in lines if line.strip()]
        match = _META.fullmatch(head)
        if match is None or int(match[1]) != number:
            raise EventFileError(f"{where}: damaged: its first line is {shortened(head, 60)!r}. {_AS_PLAIN}")
        text = head[: -len(match[7])] + "".join(f"{line}\n" for line in body)
        if zlib.crc32(text.encode()) != int(match[7], 16):
            raise EventFileError(f"{where}: damaged or edited: its checksum does not match. {_AS_PLAIN}")
        return {
            "spatial_shape": np.array(match[2].split("x"), dtype=np.int64),
            "voxel_size": np.float64(match[3]),
            "origin": np.array(match[4].split(";"), dtype=np.float64),
            "name": match[6],
        }


def _lines(first: bytes, rest: Iterable[bytes], place: int) -> Iterator[tuple[int, bytes, int]]:
    """Number, content and position of every line of a file."""
    for number, line in enumerate(chain([first], rest), 1):
        yield number, line, place
        place += len(line)


def _axes(event: Event) -> str:
    if event.ndim not in (2, 3):
        raise ValueError(f"a table can contain only events of 2 or 3 dimensions, got {event.ndim}")
    return AXES[: event.ndim]


def _event(
    columns: dict[str, np.ndarray],
    image: dict[str, Any],
    name: str,
    label_names: tuple[str, ...],
    voxel_size: float | None,
) -> Event:
    axes = [columns[axis] for axis in AXES if axis in columns]
    lengths = {field: values.shape for field, values in columns.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) != 1:
        raise ValueError(f"columns must be one-dimensional and equally long, got {lengths}")
    for axis, values in zip(AXES, axes, strict=False):
        _check_whole(axis, values, "a voxel number")
        if len(values) and not (values.min() >= 0 and values.max() < LARGEST_AXIS):
            raise ValueError(f"{axis}: {values.min()} to {values.max()}; the allowed range is 0 to {LARGEST_AXIS - 1}")
    coordinates = np.column_stack([values.astype(np.int64) for values in axes])
    shape = image.get("spatial_shape")
    if shape is None:
        shape = coordinates.max(0) + 1 if len(coordinates) else np.ones(len(axes), np.int64)
    if len(np.ravel(shape)) != len(axes) or np.max(shape) > LARGEST_AXIS:
        raise ValueError(
            f"spatial_shape must be {len(axes)} numbers of at most {LARGEST_AXIS}, got {np.ravel(shape).tolist()}"
        )
    labels = columns.get("label", np.full(len(coordinates), UNKNOWN_LABEL))
    _check_whole("label", labels, "a label number")
    size, origin, recorded = image.get("voxel_size"), image.get("origin"), image.get("name")
    size = size if voxel_size is None else voxel_size
    if size is not None and np.size(size) != 1:
        raise ValueError(f"voxel_size must be one length in mm, got {np.size(size)} numbers")
    return Event(
        coordinates,
        columns["value"],
        labels.astype(np.int64),
        no_particles(),
        VOXEL_SIZE if size is None else float(np.ravel(size)[0]),
        np.zeros(len(axes)) if origin is None else origin,
        tuple(int(n) for n in np.ravel(shape)),
        name if recorded is None else str(recorded),
        label_names=label_names,
    )


def _check_whole(field: str, values: np.ndarray, what: str) -> None:
    """Raise ValueError if the values are not numbers, or not integers."""
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{field}: values of type {values.dtype}, expected integers")
    wrong = values != np.floor(values) if values.dtype.kind == "f" else np.zeros(0, bool)
    if wrong.any():
        raise ValueError(f"{field}: {values[wrong][0]} in row {int(np.flatnonzero(wrong)[0])} is not {what}")
