"""Writes files as other programs would (PILArNet-M of three versions and in Parquet, larcv3), and compares events."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from sscn_triton.lartpc import PARTICLE_DTYPE, Event

Rows = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def random_event(seed: int, count: int = 60, shape: tuple[int, ...] = (7, 11, 5), name: str = "") -> Event:
    """Voxels in random order, some with unknown labels, and three particles, the last of which hit nothing."""
    rng = np.random.default_rng(seed)
    coordinates = np.column_stack(np.unravel_index(rng.choice(np.prod(shape), count, replace=False), shape))
    particles = np.zeros(3, PARTICLE_DTYPE)
    particles["track_id"], particles["parent_track_id"] = [1, 2, 3], [1, 2, 2]
    particles["pdg"], particles["process"] = [2212, -13, 11], ["primary", "primary", "muIoni"]
    particles["label"] = [0, 1, 3]
    for field in ("energy_init", "energy_deposit", "momentum", "start", "first_step", "last_step", "end"):
        particles[field] = rng.normal(size=particles[field].shape)
    return Event(
        coordinates,
        rng.random(count),
        rng.integers(-1, 5, count),
        particles,
        3.0,
        rng.normal(size=len(shape)),
        shape,
        name or f"{seed}:0",
        rng.integers(-1, 2, count),
    )


def same_event(one: Event, other: Event, particles: bool = True) -> bool:
    """Whether two events are equal except for the order of their voxels."""
    if one.spatial_shape != other.spatial_shape or len(one) != len(other) or one.voxel_size != other.voxel_size:
        return False
    orders = [np.lexsort(event.coordinates.T) for event in (one, other)]
    fields = ("coordinates", "energy", "labels", *(("clusters",) if particles else ()))
    equal = [np.array_equal(getattr(one, field)[orders[0]], getattr(other, field)[orders[1]]) for field in fields]
    whole = not particles or one.particles.tobytes() == other.particles.tobytes()
    return all(equal) and whole and np.array_equal(one.origin, other.origin)


def write_pilarnet(path: Path, events: Rows) -> Path:
    """Rows of `point`, `cluster` and `cluster_extra` (empty lists for version 1, which has no such dataset), and of
    version 3 "extra" `cluster_extra_2` and `interaction_extra` too; a dataset whose rows are None is left out."""
    kinds = {"point": "f4", "cluster": "i4", "cluster_extra": "f4", "cluster_extra_2": "f4", "interaction_extra": "f4"}
    with h5py.File(path, "w") as file:
        for place, (name, kind) in enumerate([*kinds.items()][: len(events[0])]):
            if events[0][place] is None or (name == "cluster_extra" and not any(rows[2].size for rows in events)):
                continue
            dataset = file.create_dataset(name, (len(events),), h5py.vlen_dtype(np.dtype(kind)))
            for number, rows in enumerate(events):
                dataset[number] = np.asarray(rows[place], dtype=kind).ravel()
    return path


def write_parquet(path: Path, events: Rows, group: int = 2, **columns: list[object]) -> Path:
    """The rows of `write_pilarnet` as columns of lists, and more columns; `group` events per row group."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    kinds = {"point": "f4", "cluster": "i4", "cluster_extra": "f4", "cluster_extra_2": "f4", "interaction_extra": "f4"}
    lists = {
        name: [np.asarray(rows[place], kind).ravel() for rows in events]
        for place, (name, kind) in enumerate(kinds.items())
        if len(events[0]) > place and (name != "cluster_extra" or any(rows[2].size for rows in events))
    }
    types = {name: pa.list_(pa.int32() if kinds[name] == "i4" else pa.float32()) for name in lists}
    arrays = {name: pa.array(values, types[name]) for name, values in lists.items()}
    parquet.write_table(pa.table({**columns, **arrays}), path, row_group_size=group)
    return path


def public_rows(version: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An event with a low-energy cluster of 2 points, a proton of 3, a shower of 1 and a kaon of 1."""
    points = np.zeros((7, 8))
    points[:, :3] = [[0, 1, 2], [767, 0, 0], [5, 5, 5], [5, 5, 6], [5, 5, 7], [9, 9, 9], [700, 3, 2]]
    points[:, 3] = [0.1, 0.2, 1.0, 2.0, 3.0, 0.5, 0.7]
    clusters = np.array([[2, -1, -1, -1, 4, -1], [3, 3, 3, 0, 1, 4], [1, 8, 10, 0, 0, 0], [1, 9, 9, 1, 1, 5]])
    extra = np.array([[-1.0] * 6, [938.272, 0.5, 1, 2, 3, 1], [0, 0.25, 1, 2, 3, 0], [493.7, 0.1, 4, 5, 6, 1]])
    widths = {1: (5, 0), 2: (6, 5), 3: (6, 6)}[version]
    return points, clusters[:, : widths[0]], extra[:, : widths[1]]


_VOXEL = np.dtype([("id", np.uint64), ("value", np.float32)])
_EXTENT = np.dtype([("first", np.uint32), ("N", np.uint32)])
_ID_EXTENT = np.dtype([("first", np.uint32), ("ID", np.uint32), ("N", np.uint32)])


def write_larcv3(
    path: Path, groups: dict[str, list[list[tuple[Event, np.ndarray]]]], edges: float = 1.0, unset: bool = False
) -> Path:
    """Groups of `Data` by name: for each entry its images, an event and the values of its voxels. Stretches the last
    axis's length by `edges`; with `unset`, empty images are described by no number. Compressed as larcv3 does."""
    with h5py.File(path, "w") as file:
        file.create_dataset("Events/event_id", data=np.zeros(1, [("run", "i8"), ("subrun", "i8"), ("event", "i8")]))
        for name, entries in groups.items():
            images = [image for entry in entries for image in entry]
            tables = _tables(entries, images, edges, unset)
            for table, rows in tables.items():
                file.create_dataset(f"Data/{name}/{table}", data=rows, chunks=(100,), maxshape=(None,), compression=1)
    return path


def _tables(
    entries: list[list[tuple[Event, np.ndarray]]], images: list[tuple[Event, np.ndarray]], edges: float, unset: bool
) -> dict[str, np.ndarray]:
    axes = (images[0][0].ndim if images else 3,)
    meta = np.dtype(
        {
            "names": ["valid", "projection_id", "image_sizes", "number_of_voxels", "origin"],
            "formats": ["?", "u8", ("f8", axes), ("u8", axes), ("f8", axes)],
        }
    )
    metas = np.zeros(len(images), meta)
    voxels = []
    planes = [plane for entry in entries for plane in range(len(entry))]
    for row, plane, (event, values) in zip(metas, planes, images, strict=True):
        row["valid"], row["projection_id"] = True, plane
        row["number_of_voxels"], row["origin"] = event.spatial_shape, event.origin / 10
        row["image_sizes"] = np.array(event.spatial_shape) * event.voxel_size / 10
        row["image_sizes"][-1] *= edges
        if unset and not len(event):  # an image that larcv never filled
            row["valid"], row["number_of_voxels"], row["image_sizes"], row["origin"] = False, 0, 0, 0
        ids = np.ravel_multi_index(tuple(event.coordinates.T), event.spatial_shape)
        order = np.argsort(ids)
        rows = np.zeros(len(event), _VOXEL)
        rows["id"], rows["value"] = ids[order], np.asarray(values)[order]
        voxels.append(rows)
    counts, sizes = np.array([len(entry) for entry in entries]), np.array([len(rows) for rows in voxels])
    extents, image_extents = np.zeros(len(entries), _EXTENT), np.zeros(len(images), _ID_EXTENT)
    extents["first"], extents["N"] = np.cumsum(counts) - counts, counts
    image_extents["first"], image_extents["N"] = np.cumsum(sizes) - sizes, sizes
    image_extents["ID"] = planes
    return {
        "extents": extents,
        "voxel_extents": image_extents,
        "image_meta": metas,
        "voxels": np.concatenate([np.zeros(0, _VOXEL), *voxels]),
    }
