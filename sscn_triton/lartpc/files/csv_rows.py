"""Rows of a CSV file as people and spreadsheets write them: the meaning of the columns, and their numbers.

Accepted: a byte order mark, LF or CRLF, blank lines and rows of commas alone, spaces around a cell, cells in quotation
marks, empty cells after the last column, integers written as 1.0, and a header in capitals. Every error message names
the line and the column.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

import numpy as np

from sscn_triton.lartpc.event import UNKNOWN_LABEL
from sscn_triton.lartpc.files.base import LARGEST_AXIS

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
AXES = "xyz"

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_AXIS = 0, LARGEST_AXIS
_WORDS = 40  # the most characters of a cell or a line that a message quotes


class Header:
    """Positions of the columns that an event needs, by name: x, y, z and event if they exist; the columns of
    energies and of labels are named value and label by default."""

    def __init__(self, cells: list[str], energies: str = "value", labels: str | None = "label") -> None:
        while cells and not cells[-1]:
            cells = cells[:-1]
        self.names = cells
        self.place: dict[str, int] = {}
        for field, name in (*((axis, axis) for axis in AXES), ("event", "event"), ("value", energies)):
            self._find(field, name)
        if labels is not None:
            self._find("label", labels)
        missing = [name for field, name in (("x", "x"), ("y", "y"), ("value", energies)) if field not in self.place]
        if missing:
            raise ValueError(
                f"header {quoted(','.join(cells))}: no column {', '.join(missing)}; expected a line with the columns "
                "x, y, z (without z for planes), value and, optionally, label and event"
            )

    def _find(self, field: str, name: str) -> None:
        exact = [place for place, cell in enumerate(self.names) if cell == name]
        found = exact or [place for place, cell in enumerate(self.names) if cell.lower() == name.lower()]
        if len(found) > 1:
            named = ", ".join(self.names[place] for place in found)
            raise ValueError(f"header {quoted(','.join(self.names))}: {len(found)} columns named {name} ({named})")
        if found:
            self.place[field] = found[0]

    def __contains__(self, field: str) -> bool:
        return field in self.place

    def check_width(self, cells: list[str]) -> None:
        """Raise ValueError for a row with too few cells, or with extra cells that are not empty."""
        wide = len(self.names)
        if len(cells) != wide and (len(cells) < wide or any(cells[wide:])):
            raise ValueError(f"{len(cells)} cells in {quoted(','.join(cells))}, but the header names {wide} columns")

    def is_of_event(self, line: bytes, written: bytes) -> bool:
        """Whether a line certainly belongs to the event written like this: a quick check, for lines without quotes."""
        cells = line.split(b",", self.place["event"] + 1)
        return b'"' not in line and len(cells) > self.place["event"] and cells[self.place["event"]] == written

    def event(self, cells: list[str]) -> str:
        """The event that a row belongs to; 7, 7.0 and 07 are the same."""
        if "event" not in self.place:
            return ""
        self.check_width(cells)
        name = cells[self.place["event"]]
        if not name:
            raise ValueError(f"column {self.names[self.place['event']]} is empty; expected an event number")
        try:
            number = float(name)
        except ValueError:
            return name
        return str(int(number)) if number.is_integer() else name


def check_start(line: bytes) -> None:
    """Check by the first line that the file is UTF-8 text whose lines end with LF; raises ValueError otherwise."""
    if line.startswith(_UTF16):
        raise ValueError("the text is UTF-16; save it as CSV UTF-8")
    if b"\r" in line.rstrip(b"\r\n"):
        raise ValueError("lines end with CR alone; save it with LF or CRLF line ends")


def check_separator(line: bytes) -> None:
    """Raise ValueError for a header whose names are not separated by commas."""
    if b"," not in line:
        for mark, name in ((b";", "semicolons"), (b"\t", "tabs")):
            if mark in line:
                raise ValueError(f"columns are separated by {name}; expected commas, and a decimal point as in 0.5")


def cells_of(line: bytes) -> list[str]:
    """The cells of a line; an empty list for a blank line, a comment, or a line of commas alone."""
    text = line.decode("utf-8", "replace").strip()
    if not text or text[0] == "#" or (text[0] == "," and not text.strip(", \t")):
        return []
    if '"' not in text:
        cells = text.split(",")
        return [cell.strip() for cell in cells] if " " in text or "\t" in text else cells
    try:
        (cells,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError):
        raise ValueError(f"a quotation mark is not closed on its line: {quoted(text)}") from None
    return [cell.strip() for cell in cells]


def numbered_cells(lines: Iterable[bytes], first: int) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not empty: their number in the file and their cells. Raises ValueError with the line."""
    for number, line in enumerate(lines, first):
        try:
            if cells := cells_of(line):
                yield number, cells
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None


def parse_rows(header: Header, rows: Iterable[tuple[int, list[str]]], labels: int) -> dict[str, np.ndarray]:
    """Columns x, y, z and label (-1 to `labels` - 1), int64, and value, float32, of numbered rows. Raises ValueError
    with the line, the column, the value found and the allowed ones."""
    numbers, table = [], []
    for number, cells in rows:
        try:
            header.check_width(cells)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        numbers.append(number)
        table.append(cells)
    fields = [field for field in (*AXES, "value", "label") if field in header]
    bounds = {"label": (UNKNOWN_LABEL, labels), "value": (0, 0)}
    return {
        field: _column(header, field, numbers, [row[header.place[field]] for row in table], bounds.get(field, _AXIS))
        for field in fields
    }


def _column(header: Header, field: str, numbers: list[int], cells: list[str], bounds: tuple[int, int]) -> np.ndarray:
    least, limit = bounds
    allowed = {"value": "an energy in MeV", "label": f"an integer label, -1 (unknown) to {limit - 1}"}
    expected = allowed.get(field, f"an integer voxel number, 0 to {limit - 1}")
    try:
        values = np.array(cells, dtype=np.str_).astype(np.float64)
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
    if field == "value":
        wrong = ~(np.abs(values) <= np.finfo(np.float32).max)
    else:
        wrong = ~((values == np.floor(values)) & (values >= least) & (values < limit))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        cell = quoted(cells[row]) if cells[row] else "empty"
        raise ValueError(
            f"line {numbers[row]}: column {header.names[header.place[field]]} is {cell}; expected {expected}"
        )
    return values.astype(np.float32 if field == "value" else np.int64)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def quoted(text: str) -> str:
    """Text of a file, quoted for a message and shortened if it is long."""
    return repr(text if len(text) <= _WORDS else text[: _WORDS - 3] + "...")
