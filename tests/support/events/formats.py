"""A file of every registered format: tests iterate over `FORMATS` and take the maker by the format's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sscn_triton.lartpc import Event, create_events
from sscn_triton.lartpc.files.opening import FORMATS, Format
from sscn_triton.lartpc.files.pilarnet_rows import as_rows
from tests.support.events.files import write_larcv3, write_parquet
from tests.support.events.larcv import LABELS, Trees, unfill, write_larcv

Maker = Callable[[Path, Sequence[Event]], Path]


def as_larcv2(path: Path, events: Sequence[Event]) -> Path:
    """Empty events are entries that were never filled."""

    def damage(trees: Trees) -> None:
        for entry, event in enumerate(events):
            if not len(event):
                unfill(trees, entry)

    return write_larcv(path, list(events), damage)


def as_larcv3(path: Path, events: Sequence[Event]) -> Path:
    """Empty events are alternately entries without an image and entries with an image that was never filled."""
    groups = {"data": [event.energy for event in events], "fivetypes": [event.labels for event in events]}
    entries = {
        f"sparse3d_{name}_group": [
            [(event, one)] if len(event) or entry % 2 else []
            for entry, (event, one) in enumerate(zip(events, values, strict=True))
        ]
        for name, values in groups.items()
    }
    return write_larcv3(path, entries, unset=True)


def as_parquet(path: Path, events: Sequence[Event]) -> Path:
    return write_parquet(path, [as_rows(event) for event in events])


def as_ours(path: Path, events: Sequence[Event]) -> Path:
    with create_events(path) as writer:
        for event in events:
            writer.append(event)
    return writer.path


MAKERS: dict[str, Maker] = {
    "larcv2 ROOT": as_larcv2,
    "larcv3 HDF5": as_larcv3,
    "PILArNet-M HDF5": as_ours,
    "PILArNet-M Parquet": as_parquet,
    "npz": as_ours,
    "CSV": as_ours,
}
"""By the name of the format; every registered format has one."""

assert MAKERS.keys() == {kind.name for kind in FORMATS}, "a format without a maker in tests/support/events/formats.py"


def name_of(kind: Format) -> str:
    """ours.h5, larcv2.root, ...: "ours" for formats that this package writes."""
    return f"{'ours' if kind.writer else kind.name.split()[0]}{kind.suffixes[0]}"


def make(kind: Format, folder: Path, events: Sequence[Event], stem: str = "events") -> Path:
    """A file of the format with labelled three-dimensional events."""
    return MAKERS[kind.name](folder / f"{stem}{kind.suffixes[0]}", events)


def as_spine(path: Path, events: Sequence[Event], shapes: Sequence[np.ndarray]) -> Path:
    """A larcv2 file with the names of SPINE's simulation, and its shapes as labels."""

    def rename(trees: Trees) -> None:
        trees[LABELS]["_voxel_v._value"] = [
            values[np.argsort(np.ravel_multi_index(tuple(event.coordinates.T), event.spatial_shape, order="F"))].astype(
                np.float32
            )
            for event, values in zip(events, shapes, strict=True)
        ]
        for tree in (LABELS,):
            trees[tree]["_voxel_v._id"] = [np.sort(ids) for ids in trees[tree]["_voxel_v._id"]]
        for old, new in (
            ("sparse3d_data_tree", "sparse3d_pcluster_tree"),
            ("sparse3d_fivetypes_tree", "sparse3d_pcluster_semantics_tree"),
            ("particle_mcst_tree", "particle_pcluster_tree"),
        ):
            trees[new] = trees.pop(old)

    return write_larcv(path, list(events), rename)
