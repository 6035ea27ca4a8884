"""Open every event file: choose the reader or the writer for a path."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sscn_triton.common.errors import first_line
from sscn_triton.common.optional import require
from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.files.base import ChangedEvents, EventFile, EventFileError, EventWriter, first_bytes
from sscn_triton.lartpc.files.conventions import PilarnetConventions, check_conventions
from sscn_triton.lartpc.files.folder import FolderEvents
from sscn_triton.lartpc.files.hdf5 import open_hdf5
from sscn_triton.lartpc.files.larcv2 import LarcvEvents
from sscn_triton.lartpc.files.larcv3 import Larcv3Events
from sscn_triton.lartpc.files.npz_csv import CsvEvents, CsvWriter, NpzEvents, NpzWriter
from sscn_triton.lartpc.files.pilarnet import PilarnetEvents
from sscn_triton.lartpc.files.pilarnet_parquet import PilarnetParquetEvents
from sscn_triton.lartpc.files.pilarnet_writer import PilarnetWriter
from sscn_triton.lartpc.numbering import NO_TRUTH, check_meaning
from sscn_triton.lartpc.projection import check_plane, project
from sscn_triton.lartpc.relabelling import CLUSTERING, check_labels, relabel


@dataclass(frozen=True)
class Format:
    """One format of event files.

    magic: the bytes at the start of such a file, empty if only the name identifies it
    suffixes: the ends of the names of such files, in lower case
    options: the options of `open_events` that its reader takes
    group: if several formats have the same magic, the group that identifies this one, empty for the remaining one
    writer: its writer, if there is one
    """

    name: str
    magic: bytes
    suffixes: tuple[str, ...]
    reader: Callable[..., EventFile]
    options: frozenset[str]
    group: str = ""
    writer: Callable[..., EventWriter] | None = None


_HDF5, _H5 = b"\x89HDF\r\n\x1a\n", (".h5", ".hdf5")
_LARCV = frozenset({"energies", "truth", "truth_means", "voxel_size"})
FORMATS = (
    Format("larcv2 ROOT", b"root", (".root",), LarcvEvents, _LARCV | {"particles"}),
    Format("larcv3 HDF5", _HDF5, _H5, Larcv3Events, _LARCV | {"projection"}, group="Data"),
    Format("PILArNet-M HDF5", _HDF5, _H5, PilarnetEvents, frozenset({"truth_means"}), writer=PilarnetWriter),
    Format("PILArNet-M Parquet", b"PAR1", (".parquet",), PilarnetParquetEvents, frozenset({"truth_means"})),
    Format("npz", b"PK\x03\x04", (".npz",), NpzEvents, _LARCV, writer=NpzWriter),
    Format("CSV", b"", (".csv",), CsvEvents, _LARCV, writer=CsvWriter),
)
"""All formats that can be read, in the order in which a file is checked against them."""

SUFFIXES = tuple(dict.fromkeys(suffix for kind in FORMATS for suffix in kind.suffixes))
"""Suffixes of the files that can be read, also in a folder."""

_WRITERS = {suffix: kind.writer for kind in FORMATS if kind.writer is not None for suffix in kind.suffixes}
WRITTEN = tuple(_WRITERS)
"""Suffixes of the files that can be written."""

_PACKED = {
    "gzip": (0, b"\x1f\x8b"),
    "compress": (0, b"\x1f\x9d"),
    "bzip2": (0, b"BZh"),
    "xz": (0, b"\xfd7zXZ"),
    "zstd": (0, b"\x28\xb5\x2f\xfd"),
    "lz4": (0, b"\x04\x22\x4d\x18"),
    "7-Zip": (0, b"7z\xbc\xaf\x27\x1c"),
    "RAR": (0, b"Rar!\x1a\x07"),
    "tar": (257, b"ustar"),
}
"""Programs that pack files, with the position and the bytes that identify their files."""


def open_events(
    path: str | os.PathLike[str],
    *,
    labels: str = "slides",
    plane: str | None = None,
    energies: str | None = None,
    truth: str | None = None,
    truth_means: str | None = None,
    particles: str | None = None,
    voxel_size: float | None = None,
    projection: int | None = None,
    conventions: str | None = None,
) -> EventFile:
    """Open the events of a file: larcv2 ROOT, larcv3 HDF5, PILArNet-M HDF5 or Parquet, npz, or CSV, recognised by its
    first bytes or, failing that, its name; for a folder, those of all such files in it (`FolderEvents`). `EventFile`
    documents how events are read and which errors are raised.

    labels: "slides" for the labels of the file, "attached" to relabel detached delta rays and Michel electrons as
    shower (`relabel`). plane: y, u or v for the image of three-dimensional events on that wire plane (`project`).

    Files of other programs use other names. energies: name of the tree (larcv2), group (larcv3), array (npz) or column
    (CSV) of energies; truth: that of labels, or "none" to read without labels (-1). truth_means: "five-types" (dlprod:
    HIP, MIP, shower, delta, Michel), "shapes" (PILArNet-M, SPINE: shower, track, Michel, delta, low-energy, ghost), or
    "numbers", whose meaning is unknown; by default, labels of a named `truth` are numbers. particles: name of
    the tree of particles (larcv2), or "none". voxel_size: edge of a voxel in mm in place of the file's. projection:
    number of the plane whose images are read (larcv3). Raises ValueError for an option that the file's format does not
    use.

    conventions: "pilarnet-m" for events of at least 1024 points, voxels above 0.13 MeV and labels that are shapes, as
    results on PILArNet-M are published (`PilarnetConventions`).
    """
    if not os.fspath(path):
        raise FileNotFoundError("pass the path of an event file, got an empty path")
    changes: list[Callable[[Event], Event]] = []
    if check_labels(labels) != "slides":
        require(*CLUSTERING)
        changes.append(partial(relabel, labels=labels))
    if conventions is not None:
        check_conventions(conventions)
        if labels != "slides":
            raise ValueError(
                f"labels={labels} needs the five types, but conventions={conventions} turns the labels into shapes"
            )
    if plane is not None:
        changes.append(partial(project, plane=check_plane(plane)))
    options: dict[str, Any] = {"energies": energies, "truth": truth, "truth_means": truth_means, "particles": particles}
    options |= {"voxel_size": voxel_size, "projection": projection}
    given = {name: value for name, value in options.items() if value is not None}
    _check_options(given)
    path = Path(path)
    open_one = partial(_open, options=given, shapes=conventions is not None)
    events = FolderEvents(path, open_one, SUFFIXES) if path.is_dir() else open_one(path)
    if conventions is not None:
        events = PilarnetConventions(events)
    return ChangedEvents(events, *changes) if changes else events


def _check_options(given: dict[str, Any]) -> None:
    for name in ("energies", "truth", "particles"):
        if given.get(name) == "":
            raise ValueError(f"{name} must be a name, got an empty string")
    if "truth_means" in given:
        check_meaning(given["truth_means"])
        if given.get("truth") == NO_TRUTH:
            raise ValueError(f"truth_means has no effect with truth={NO_TRUTH}: leave it out")
    size = given.get("voxel_size", 1.0)
    if not (math.isfinite(size) and size > 0):
        raise ValueError(f"voxel_size must be a positive length in mm, got {size}")
    if given.get("projection", 0) < 0:
        raise ValueError(f"projection must be 0 or more, got {given['projection']}")


def _open(path: Path, options: dict[str, Any], shapes: bool) -> EventFile:
    kind = find_format(path)
    if shapes and kind.reader in (PilarnetEvents, PilarnetParquetEvents):
        options = {"truth_means": "shapes", **options}
    without_labels = options.get("truth") == NO_TRUTH and "truth" not in kind.options
    options = {name: value for name, value in options.items() if not (without_labels and name == "truth")}
    useless = sorted(options.keys() - kind.options)
    if useless:
        takers = ", ".join(other.name for other in FORMATS if useless[0] in other.options)
        raise ValueError(f"{path}: {useless[0]} is an option for {takers}; leave it out for {kind.name}")
    events = kind.reader(path, **options)
    return ChangedEvents(events, _unlabelled) if without_labels else events


def _unlabelled(event: Event) -> Event:
    return event.replace(labels=event.labels * 0 - 1)


def find_format(path: Path) -> Format:
    """The format of a file, by its first bytes or else its name. Raises FileNotFoundError or EventFileError."""
    start = first_bytes(path, 512)
    for name, (place, magic) in _PACKED.items():
        if start[place:].startswith(magic):
            raise EventFileError(f"{path}: packed with {name}; unpack it first")
    by_content = [kind for kind in FORMATS if kind.magic and start.startswith(kind.magic)]
    found = by_content or [kind for kind in FORMATS if path.suffix.lower() in kind.suffixes]
    if not found:
        size = "an empty file" if not start else "not an event file"
        known = ", ".join(dict.fromkeys(kind.name for kind in FORMATS if kind.magic))
        raise EventFileError(f"{path}: {size}: the content is not that of {known}, and the name does not end with .csv")
    groups = _groups(path) if len(found) > 1 else []
    return next(kind for kind in found if not kind.group or kind.group in groups)


def _groups(path: Path) -> list[str]:
    reading = open_hdf5(path)
    try:
        return reading.names()
    except Exception as error:
        raise EventFileError(f"{path}: cannot be read ({first_line(error)})") from error
    finally:
        reading.close()


def create_events(
    path: str | os.PathLike[str], like: EventFile | None = None, *, overwrite: bool = False
) -> EventWriter:
    """A writer for the format that the name implies: PILArNet-M (.h5, .hdf5), .npz or .csv. Raises ValueError for
    another suffix.

    like: the file that the events come from, whose seed and configuration are copied if the format has a place for
    them, as PILArNet-M's does. overwrite: see `EventWriter`.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"{path}: the name must end with one of {', '.join(WRITTEN)}")
    writer = _WRITERS[path.suffix.lower()]
    if like is None or writer is not PilarnetWriter:
        return writer(path, overwrite=overwrite)
    attributes = like.attributes
    configuration = json.loads(attributes.get("configuration", "{}"))
    return PilarnetWriter(path, seed=attributes.get("seed"), configuration=configuration, overwrite=overwrite)
