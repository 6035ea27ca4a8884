"""Convert one event to PILArNet-M's rows of numbers, and back. `pilarnet` documents the layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sscn_triton.lartpc.event import CLASS_NAMES, PARTICLE_DTYPE, Event
from sscn_triton.lartpc.files.base import LARGEST_AXIS, EventFileError
from sscn_triton.lartpc.files.pilarnet_layout import MORE_ROWS
from sscn_triton.lartpc.numbering import (
    LOW_ENERGY,
    as_named,
    five_types_from_shape,
    names_in_words,
    pdg_from_pid,
    pid_from_five_types,
    shape_from_five_types,
)

PUBLIC_SHAPE = (768, 768, 768)
PUBLIC_VOXEL = 3.0  # mm

POINT = 8
_MEV_PER_GEV = 1000.0
_ABSENT = -1.0
"""The number that PILArNet-M writes for an unknown quantity."""


def as_rows(event: Event) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`point` float32, `cluster` int32 and `cluster_extra` float32 of an event, flat.

    A cluster is the voxels of one particle with one label: fragment and group are the particle's row, interaction
    numbers the places where primary particles start. Time, electrons and dx are unknown and set to 0. Vertices are in
    voxels, like the coordinates of points. Raises ValueError for an event that is not three-dimensional, or has labels
    of other classes.
    """
    if event.ndim != 3:
        raise ValueError(
            f"PILArNet-M can contain only three-dimensional events, but {event.name!r} has {event.ndim} dimensions"
        )
    if event.label_names != CLASS_NAMES:
        raise ValueError(
            f"PILArNet-M can contain only labels {', '.join(CLASS_NAMES)}; those of {event.name!r} are "
            f"{names_in_words(event.label_names)}: write .npz"
        )
    order = row_order(event)
    points = np.zeros((len(event), POINT), np.float32)
    points[:, :3] = event.coordinates[order]
    points[:, 3] = points[:, 4] = event.energy[order]
    pairs = np.column_stack([event.clusters, event.labels.astype(np.int32)])[order]
    nobodys = np.array([[-1, -1]])
    pairs, sizes = np.unique(np.concatenate([nobodys, pairs]), axis=0, return_counts=True)
    sizes[0] -= 1
    rows, labels = pairs[:, 0], pairs[:, 1].copy()
    particles = np.concatenate([event.particles, np.zeros(1, PARTICLE_DTYPE)])  # row -1 selects the last: pdg 0
    cluster = np.zeros((len(pairs), 6), np.int32)
    cluster[:, 0], cluster[:, 1], cluster[:, 2] = sizes, rows, rows
    roots = _roots(event.particles)
    cluster[:, 3] = np.append(_interactions(event.particles, roots), -1)[rows]
    cluster[:, 4] = shape_from_five_types(labels)
    cluster[:, 5] = pid_from_five_types(labels, particles["pdg"][rows])
    cluster[0, 4:] = LOW_ENERGY, -1
    return points.ravel(), cluster.ravel(), _extra(event, roots)[rows].ravel()


def row_order(event: Event) -> np.ndarray:
    """The order in which voxels are written as points."""
    return np.lexsort((event.labels, event.clusters))


def _roots(particles: np.ndarray) -> np.ndarray:
    """The row of each particle's first listed ancestor."""
    row_of = {int(track): row for row, track in enumerate(particles["track_id"])}
    roots = np.array([row_of.get(int(parent), row) for row, parent in enumerate(particles["parent_track_id"])], int)
    for _ in range(len(roots).bit_length()):
        roots = roots[roots]
    return roots


def _interactions(particles: np.ndarray, roots: np.ndarray) -> np.ndarray:
    _, interactions = np.unique(particles["start"][roots], axis=0, return_inverse=True)
    return interactions.ravel()


def _extra(event: Event, roots: np.ndarray) -> np.ndarray:
    """A row per particle and a last one for no particle: [P + 1, 6]."""
    particles = event.particles
    extra = np.full((len(particles) + 1, 6), -1.0, np.float32)
    momentum = np.linalg.norm(particles["momentum"], axis=1)
    extra[:-1, 0] = np.sqrt(np.maximum(particles["energy_init"] ** 2 - momentum**2, 0.0))
    extra[:-1, 1] = momentum / _MEV_PER_GEV
    extra[:-1, 2:5] = (particles["start"][roots] - event.origin) / event.voxel_size
    extra[:-1, 5] = roots == np.arange(len(particles))
    return extra


def as_event(
    rows: Mapping[str, np.ndarray],
    version: int,
    name: str,
    known: dict[str, Any] | None,
    names: tuple[str, ...] = CLASS_NAMES,
) -> Event:
    """The event of a file's rows; `known` contains the additional fields of our own files.

    rows: `point`, `cluster`, from version 2 on `cluster_extra` and, for version 3 "extra", `cluster_extra_2`,
    `interaction_extra` or both, by name. names: of the labels, `CLASS_NAMES` or `SHAPE_NAMES`. Raises ValueError with
    the field.
    """
    points = _reshaped(rows["point"], POINT, "point").astype(np.float64, copy=False)
    clusters = _reshaped(rows["cluster"], 5 if version == 1 else 6, "cluster")
    extra = rows["cluster_extra"] if version > 1 else np.zeros(0, np.float32)
    extras = _reshaped(extra, 6 if version == 3 else 5, "cluster_extra")
    if version > 1 and len(extras) != len(clusters):
        raise ValueError(f"cluster_extra: {len(extras)} clusters, but {len(clusters)} in cluster")
    shape = known["spatial_shape"] if known else PUBLIC_SHAPE
    coordinates = _coordinates(points[:, :3], shape)
    _check_finite(points[:, 3], "point: value")
    sizes = _sizes(clusters[:, 0], len(points))
    pids = np.full(len(clusters), -1) if version == 1 else clusters[:, 5]
    five_types = _named("cluster", five_types_from_shape, clusters[:, 4], pids)
    if known:
        labels = as_named(five_types, names)
        fields = {**known, "clusters": np.repeat(clusters[:, 1], sizes), "label_names": names}
        fields["particles"]["label"] = as_named(fields["particles"]["label"], names)
        return Event(coordinates=coordinates, energy=points[:, 3], labels=np.repeat(labels, sizes), **fields)
    labels = five_types if names == CLASS_NAMES else clusters[:, 4].astype(np.int8)
    particles, row = _public_particles(clusters, extras, labels, pids)
    own = clusters[:, 2] >= 0
    if "cluster_extra_2" in rows:
        _add_momenta(particles, rows["cluster_extra_2"], own)
    if any(name in rows for name in MORE_ROWS):
        particles["process"][extras[own, 5] == 1] = "primary"
    if "interaction_extra" in rows:
        _add_starts(particles, clusters[own, 3], rows["interaction_extra"])
    fields = {"voxel_size": PUBLIC_VOXEL, "origin": np.zeros(3), "spatial_shape": shape, "name": name}
    fields["label_names"] = names
    voxels = _merge(coordinates, points[:, 3], np.repeat(labels, sizes), np.repeat(row, sizes))
    energy = np.bincount(voxels[3][voxels[3] >= 0], voxels[1][voxels[3] >= 0], len(particles))
    particles["energy_deposit"] = energy
    particles["num_voxels"] = np.bincount(voxels[3][voxels[3] >= 0], minlength=len(particles))
    return Event(*voxels[:3], particles=particles, clusters=voxels[3], **fields)


def check_image(where: str, shape: np.ndarray) -> tuple[int, ...]:
    """The shape of an image in a file, checked."""
    numbers = tuple(int(n) for n in shape)
    if min(numbers) < 1 or max(numbers) > LARGEST_AXIS:
        raise EventFileError(f"{where}: {numbers} voxels; the allowed range is 1 to {LARGEST_AXIS} per axis")
    return numbers


def _reshaped(row: np.ndarray, width: int, field: str) -> np.ndarray:
    if len(row) % width:
        raise ValueError(f"{field}: {len(row)} numbers, expected a multiple of {width}")
    return row.reshape(-1, width)


def _check_finite(values: np.ndarray, field: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{field}: {values[~np.isfinite(values)].ravel()[0]} is not a finite number")


def _coordinates(given: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    _check_finite(given, "point: x, y, z")
    wrong = ((given != np.floor(given)) | (given < 0) | (given >= shape)).any(1)
    if wrong.any():
        raise ValueError(f"point: voxel {given[wrong][0].tolist()}; expected integers inside the image of {shape}")
    return given.astype(np.int32)


def _sizes(given: np.ndarray, points: int) -> np.ndarray:
    if (given < 0).any() or (given > points).any() or int(given.sum()) != points:
        raise ValueError(f"cluster: sizes {given[:8].tolist()} do not add up to the {points} points")
    return given.astype(np.int64)


def _named(field: str, function: Any, *arguments: np.ndarray) -> Any:
    try:
        return function(*arguments)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


def _public_particles(
    clusters: np.ndarray, extras: np.ndarray, labels: np.ndarray, pids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Particles, and for each cluster the row of its particle, -1 if it has no group."""
    own = clusters[:, 2] >= 0
    particles = np.zeros(int(own.sum()), PARTICLE_DTYPE)
    for field in ("momentum", "start", "first_step", "last_step", "end", "energy_init"):
        particles[field] = np.nan
    particles["track_id"] = particles["parent_track_id"] = clusters[own, 2]
    particles["pdg"] = pdg_from_pid(pids[own])
    particles["label"] = labels[own]
    if len(extras):
        mass, momentum = extras[own, 0].astype(np.float64), extras[own, 1].astype(np.float64) * _MEV_PER_GEV
        particles["energy_init"] = np.where(mass >= 0, np.hypot(mass, momentum), np.nan)
    return particles, np.where(own, np.cumsum(own) - 1, -1)


def _add_momenta(particles: np.ndarray, more: np.ndarray, own: np.ndarray) -> None:
    """Fill in momenta and the parents' kinds; `own` marks the clusters that are particles."""
    table = _reshaped(more, 5, "cluster_extra_2").astype(np.float64)
    if len(table) != len(own):
        raise ValueError(f"cluster_extra_2: {len(table)} clusters, but {len(own)} in cluster")
    _check_finite(table[:, :3], "cluster_extra_2: momentum")
    _check_number(table[:, 3], "cluster_extra_2: PDG number")
    known = (table[own, :3] != _ABSENT).any(1, keepdims=True)
    particles["momentum"] = np.where(known, table[own, :3] * _MEV_PER_GEV, np.nan)
    particles["parent_pdg"] = np.where(table[own, 3] == _ABSENT, 0, table[own, 3])


def _add_starts(particles: np.ndarray, numbers: np.ndarray, interactions: np.ndarray) -> None:
    """Fill in where primary particles start: at the vertices of the interactions `numbers`."""
    vertices, unknown = _vertices(interactions), np.full(3, np.nan)
    starts = np.array([vertices.get(int(number), unknown) for number in numbers]).reshape(-1, 3)
    primary = particles["process"] == "primary"
    particles["start"] = np.where(primary[:, None], starts * PUBLIC_VOXEL, np.nan)


def _vertices(interactions: np.ndarray) -> dict[int, np.ndarray]:
    """The vertex of each interaction, in voxels, by the interaction's number; without those that are unknown."""
    table = _reshaped(interactions, 4, "interaction_extra").astype(np.float64)
    _check_number(table[:, 0], "interaction_extra: number")
    _check_finite(table[:, 1:], "interaction_extra: vertex")
    table = np.unique(table[(table[:, 0] != _ABSENT) & (table[:, 1:] != _ABSENT).any(1)], axis=0)
    twice = table[1:, 0][np.diff(table[:, 0]) == 0]
    if len(twice):
        raise ValueError(f"interaction_extra: interaction {int(twice[0])} has several vertices")
    return {int(row[0]): row[1:] for row in table}


def _check_number(values: np.ndarray, field: str) -> None:
    """Raise ValueError unless all values are whole numbers of 32 bits."""
    wrong = ~(np.abs(values) < 2**31) | (values != np.floor(values))
    if wrong.any():
        raise ValueError(f"{field}: {values[wrong][0]} is not a whole number of 32 bits")


def _merge(
    coordinates: np.ndarray, energy: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Merge the points of each voxel: energies are summed, the other fields come from the point with the most."""
    keys = np.ravel_multi_index(tuple(coordinates.T), PUBLIC_SHAPE)
    unique, inverse = np.unique(keys, return_inverse=True)
    if len(unique) == len(keys):
        return coordinates, energy, labels, rows
    summed = np.bincount(inverse, energy)
    most = np.lexsort((-energy, inverse))
    first = most[np.diff(inverse[most], prepend=-1) > 0]  # the first point of each voxel, in the order of `unique`
    place = np.argsort(first)
    kept = first[place]
    return coordinates[kept], summed[place], labels[kept], rows[kept]
