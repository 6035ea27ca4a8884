"""Events as the wire planes of a time projection chamber record them: images of wire against drift.

Electrons drift along x; y is vertical; wires lie in planes of y and z, at 0 and at +60 and -60 degrees to the vertical,
one voxel's edge apart. A wire at angle a runs along (cos a) y + (sin a) z; its coordinate is

    w = z cos a - y sin a

A voxel's shadow falls on one wire or on two or three neighbours, each of which gets its share of the energy. Nothing
else of a detector is modelled: no field, no noise, no response of the electronics.
"""

from __future__ import annotations

import math

import numpy as np

from sscn_triton.lartpc.simulation.imaging import THRESHOLD

from .event import UNKNOWN_LABEL, Event

PLANES = {"y": 0.0, "u": 60.0, "v": -60.0}
"""Angles of the wires to the vertical, in degrees, by plane."""

_VECTORS = ("momentum", "start", "first_step", "last_step", "end")
_NEIGHBOURS = 3  # wires under a shadow, which is at most 1.37 wires wide


def project(event: Event, plane: str, threshold: float = THRESHOLD) -> Event:
    """The two-dimensional event (wire, drift) that a plane of `PLANES` records of a three-dimensional one.

    A pixel has the energy of all shadows that fall on it, in MeV, and is active if that reaches the threshold. Its
    label is the one with the largest part of that energy (unknown counts as one), and likewise its cluster. Pixels are
    in ascending order. Positions and momenta of particles are rotated to (wire, drift, along the wire), in mm and
    MeV/c; their energies and voxel counts remain those of three dimensions.

    Raises ValueError for another plane, or an event that is not three-dimensional.
    """
    check_plane(plane)
    if event.ndim != 3:
        raise ValueError(f"{event.name or 'event'}: only three-dimensional events can be projected, got {event.ndim}")
    angle = math.radians(PLANES[plane])
    cosine, sine = math.cos(angle), math.sin(angle)
    drift, height, depth = event.spatial_shape
    corners = np.array([z * cosine - y * sine for y in (0, height) for z in (0, depth)])
    low, wires = float(corners.min()), math.ceil(float(np.ptp(corners)) - 1e-9)
    rows, wire, share = _shadows(event.coordinates, cosine, sine, low)
    inside = (wire >= 0) & (wire < wires) & (share > 0)
    rows, wire, share = rows[inside], wire[inside], share[inside]
    pixels = wire * drift + event.coordinates[rows, 0]
    energies = share * event.energy[rows].astype(np.float64)
    unique, place = np.unique(pixels, return_inverse=True)
    total = np.bincount(place, energies, len(unique))
    active = total >= threshold
    labels = _heaviest(place, event.labels[rows], energies, len(unique), len(event.label_names))
    clusters = _heaviest(place, event.clusters[rows], energies, len(unique), len(event.particles))
    origin_yz = event.origin[2] * cosine - event.origin[1] * sine
    return Event(
        coordinates=np.column_stack(np.divmod(unique[active], drift)),
        energy=total[active],
        labels=labels[active],
        particles=_rotated(event.particles, cosine, sine),
        voxel_size=event.voxel_size,
        origin=np.array([origin_yz + low * event.voxel_size, event.origin[0]]),
        spatial_shape=(wires, drift),
        name=f"{event.name}:{plane}" if event.name else plane,
        clusters=clusters[active],
        label_names=event.label_names,
    )


def check_plane(plane: str) -> str:
    """Return the plane's name if it exists."""
    if plane not in PLANES:
        raise ValueError(f"plane must be one of {', '.join(PLANES)}, got {plane!r}")
    return plane


def _shadows(
    coordinates: np.ndarray, cosine: float, sine: float, low: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of voxels, wires, and the share of a voxel that falls on each wire."""
    centre = (coordinates[:, 2] + 0.5) * cosine - (coordinates[:, 1] + 0.5) * sine - low
    first = np.floor(centre).astype(np.int64) - 1
    below = [_below(first + edge - centre, abs(cosine), abs(sine)) for edge in range(_NEIGHBOURS + 1)]
    shares = np.diff(np.column_stack(below), axis=1)
    wires = first[:, None] + np.arange(_NEIGHBOURS)
    return np.repeat(np.arange(len(coordinates)), _NEIGHBOURS), wires.ravel(), shares.ravel()


def _below(place: np.ndarray, one: float, other: float) -> np.ndarray:
    """The share of a unit square's shadow that lies below a place measured from its middle: a trapezium's area. `one`
    and `other` are the shadows of its edges."""
    if min(one, other) < 1e-9:
        return np.clip(place / max(one, other) + 0.5, 0.0, 1.0)
    half, inner = (one + other) / 2, abs(one - other) / 2

    def ramp(shift: float) -> np.ndarray:
        return np.square(np.maximum(place + shift, 0.0))

    return (ramp(half) - ramp(inner) - ramp(-inner) + ramp(-half)) / (2 * one * other)


def _heaviest(place: np.ndarray, values: np.ndarray, energies: np.ndarray, count: int, kinds: int) -> np.ndarray:
    """The value, -1 to `kinds` - 1, with the most energy at each place; among equals the smallest, unknown last."""
    key = place * (kinds + 1) + np.where(values == UNKNOWN_LABEL, kinds, values)
    unique, inverse = np.unique(key, return_inverse=True)
    total = np.bincount(inverse, energies, len(unique))
    where, kind = np.divmod(unique, kinds + 1)
    order = np.lexsort((kind, -total, where))
    first = order[np.searchsorted(where[order], np.arange(count))]
    return np.where(kind[first] == kinds, UNKNOWN_LABEL, kind[first])


def _rotated(particles: np.ndarray, cosine: float, sine: float) -> np.ndarray:
    rotated = particles.copy()
    for field in _VECTORS:
        x, y, z = particles[field].T
        rotated[field] = np.column_stack([z * cosine - y * sine, x, y * cosine + z * sine])
    return rotated
