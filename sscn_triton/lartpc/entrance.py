"""One entrance to every event file: which reader and which writer a path wants."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .event import Event
from .files import ChangedEvents, EventFile, EventFileError, EventWriter, first_line
from .folder import FolderEvents
from .hdf5 import open_hdf5
from .larcv import LarcvEvents
from .larcv3 import Larcv3Events
from .pilarnet import PilarnetEvents, PilarnetWriter
from .projection import check_plane, project
from .relabelling import check_labels, relabel
from .tables import CsvEvents, CsvWriter, NpzEvents, NpzWriter

_HDF5, _ROOT, _ZIP = b"\x89HDF\r\n\x1a\n", b"root", b"PK\x03\x04"
_WRITERS: dict[str, Callable[[Path], EventWriter]] = {
    ".h5": PilarnetWriter,
    ".hdf5": PilarnetWriter,
    ".npz": NpzWriter,
    ".csv": CsvWriter,
}
WRITTEN = tuple(_WRITERS)
"""Suffixes of the files that can be written."""


def open_events(path: str | os.PathLike[str], *, labels: str = "slides", plane: str | None = None) -> EventFile:
    """The events of a file: larcv2 ROOT, PILArNet-M HDF5, larcv3 HDF5, npz, or CSV, as its first bytes tell, else its
    name; of a folder, those of all such files in it (`FolderEvents`). See `EventFile` for how they are read and what is
    raised.

    labels: "slides" as they are in the file, "attached" with detached delta rays and Michel electrons made shower
    (`relabel`). plane: y, u or v for what that wire plane sees of three-dimensional events (`project`).
    """
    changes: list[Callable[[Event], Event]] = []
    if check_labels(labels) != "slides":
        changes.append(partial(relabel, labels=labels))
    if plane is not None:
        changes.append(partial(project, plane=check_plane(plane)))
    path = Path(path)
    events = FolderEvents(path, _open) if path.is_dir() else _open(path)
    return ChangedEvents(events, *changes) if changes else events


def _open(path: Path) -> EventFile:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(8)
    suffix = path.suffix.lower()
    if start.startswith(_ROOT) or suffix == ".root":
        return LarcvEvents(path)
    if start == _HDF5 or suffix in (".h5", ".hdf5"):
        return PilarnetEvents(path) if "Data" not in _groups(path) else Larcv3Events(path)
    if start.startswith(_ZIP) or suffix == ".npz":
        return NpzEvents(path)
    if suffix == ".csv":
        return CsvEvents(path)
    raise EventFileError(
        f"{path}: neither larcv2 ROOT nor PILArNet-M or larcv3 HDF5 nor npz by its content, nor .csv by its name"
    )


def _groups(path: Path) -> list[str]:
    reading = open_hdf5(path)
    try:
        return reading.names()
    except Exception as error:
        raise EventFileError(f"{path}: cannot be read ({first_line(error)})") from error
    finally:
        reading.close()


def create_events(path: str | os.PathLike[str], like: EventFile | None = None) -> EventWriter:
    """A writer for the file that the name asks for: PILArNet-M (.h5, .hdf5), .npz or .csv. Else ValueError.

    like: the file that the events come from, whose seed and configuration are written again where there is a place for
    them, in PILArNet-M's layout.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"{path}: files are written as {', '.join(WRITTEN)}, as the name's end tells")
    writer = _WRITERS[path.suffix.lower()]
    if like is None or writer is not PilarnetWriter:
        return writer(path)
    told = like.attributes
    return PilarnetWriter(path, seed=told.get("seed"), configuration=json.loads(told.get("configuration", "{}")))
