"""One liquid-argon event: active voxels, their energies and labels, and the particles that left them."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence

import numpy as np

CLASS_NAMES = ("HIP", "MIP", "shower", "delta", "Michel")
"""The study's five classes, in the order of their labels 0 to 4.

Heavily ionising particles (protons), minimum ionising ones (muons, charged pions), electromagnetic showers, delta rays,
Michel electrons."""

CLASS_COLORS = ("#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7")
"""One colour per class, from the palette of Okabe and Ito, which remains distinct under common colour blindness."""

UNKNOWN_LABEL = -1
UNKNOWN_COLOR = "#8C8C8C"

PARTICLE_DTYPE = np.dtype(
    [
        ("track_id", np.int64),  # number of the particle in its event, as assigned by its producer
        ("parent_track_id", np.int64),  # a primary's is its own number
        ("pdg", np.int32),  # particle kind, numbering scheme of the Particle Data Group
        ("parent_pdg", np.int32),
        ("process", "U32"),  # the process that made it, in Geant4's terms: primary, muIoni, Decay, ...
        ("label", np.int8),  # class of its voxels, -1 unknown
        ("energy_init", np.float64),  # total energy at creation, MeV
        ("energy_deposit", np.float64),  # energy left in the image, MeV
        ("momentum", np.float64, (3,)),  # at creation, MeV/c
        ("start", np.float64, (3,)),  # where it was made, mm
        ("first_step", np.float64, (3,)),  # where it first left energy, mm
        ("last_step", np.float64, (3,)),  # where it last left energy, mm
        ("end", np.float64, (3,)),  # where it ended, mm
        ("num_voxels", np.int32),  # active voxels with its energy
    ]
)
"""One row per particle. Positions are in the frame of `Event.origin`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """A network's prediction for the voxels of an event, checked when constructed.

    labels: [N] int8, index into `names`
    scores: [N, K] float32, the network's scores of the K classes, as shares of 1 (its softmax)
    names: names of the classes, `CLASS_NAMES` or track and shower
    """

    labels: np.ndarray
    scores: np.ndarray
    names: tuple[str, ...] = CLASS_NAMES

    def __post_init__(self) -> None:
        names, scores = tuple(self.names), np.asarray(self.scores)
        if scores.ndim != 2 or scores.shape[1] != len(names) or scores.dtype.kind != "f":
            raise ValueError(
                f"scores must be [voxels, {len(names)}] real numbers for {names}, got {scores.dtype} of {scores.shape}"
            )
        labels = _integers(self.labels, len(scores), "predicted labels", len(names))
        if not np.isfinite(scores).all():
            raise ValueError("scores must be finite numbers")
        for field, value in (("labels", labels.astype(np.int8)), ("scores", scores.astype(np.float32))):
            object.__setattr__(self, field, value)
        object.__setattr__(self, "names", names)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Prediction:
        """The prediction for some voxels, given by row numbers or a mask."""
        return Prediction(self.labels[rows], self.scores[rows], self.names)


@dataclasses.dataclass(frozen=True, eq=False)
class Event:
    """Active voxels of one image, D axes, checked when constructed.

    coordinates: [N, D] int32, voxel (x, y, z), each inside `spatial_shape`, no voxel twice
    energy: [N] float32, MeV, finite
    labels: [N] int8, index into `label_names`, -1 unknown
    particles: [P] of `PARTICLE_DTYPE`, P may be 0
    clusters: [N] int32, row of `particles` that left most of the voxel's energy, -1 unknown (the default)
    prediction: a network's prediction for the voxels, None (the default) if there is none
    voxel_size: edge of a voxel, mm
    origin: [D] float64, lower corner of voxel (0, 0, 0), mm
    spatial_shape: voxels along each axis
    name: its source, "file:entry" or "seed:index"
    label_names: the names of the labels, at most 128: `CLASS_NAMES`, or `numbering.MEANINGS` for other data

    Other integer or floating types are converted. Raises ValueError (TypeError for a wrong type) with the field's name.
    """

    coordinates: np.ndarray
    energy: np.ndarray
    labels: np.ndarray
    particles: np.ndarray
    voxel_size: float
    origin: np.ndarray
    spatial_shape: tuple[int, ...]
    name: str = ""
    clusters: np.ndarray = None  # type: ignore[assignment]  # filled below
    prediction: Prediction | None = None
    label_names: tuple[str, ...] = CLASS_NAMES

    def __post_init__(self) -> None:
        shape = tuple(operator.index(n) for n in self.spatial_shape)
        if not shape or min(shape) < 1:
            raise ValueError(f"spatial_shape must be positive, one number per axis, got {shape}")
        coordinates = _coordinates(self.coordinates, shape)
        count = len(coordinates)
        clusters = np.full(count, -1) if self.clusters is None else self.clusters
        particles = np.asarray(self.particles)
        if particles.dtype != PARTICLE_DTYPE or particles.ndim != 1:
            raise TypeError(f"particles must be a one-dimensional array of PARTICLE_DTYPE, got dtype {particles.dtype}")
        voxel_size = float(self.voxel_size)
        if not (np.isfinite(voxel_size) and voxel_size > 0):
            raise ValueError(f"voxel_size must be a positive length in mm, got {voxel_size}")
        origin = np.asarray(self.origin, dtype=np.float64)
        if origin.shape != (len(shape),) or not np.isfinite(origin).all():
            raise ValueError(f"origin must be {len(shape)} finite lengths in mm, got {origin}")
        label_names = tuple(self.label_names)
        if not 0 < len(label_names) <= 128 or not all(isinstance(name, str) for name in label_names):
            raise ValueError(f"label_names must be 1 to 128 words, got {label_names}")
        if self.prediction is not None and len(self.prediction) != count:
            raise ValueError(f"prediction must have {count} voxels, got {len(self.prediction)}")
        checked = {
            "coordinates": coordinates,
            "energy": _energy(self.energy, count),
            "labels": _integers(self.labels, count, "labels", len(label_names)).astype(np.int8),
            "clusters": _integers(clusters, count, "clusters", len(particles)).astype(np.int32),
            "particles": particles,
            "voxel_size": voxel_size,
            "origin": origin,
            "spatial_shape": shape,
            "label_names": label_names,
        }
        for field, value in checked.items():
            object.__setattr__(self, field, value)

    def __len__(self) -> int:
        return len(self.coordinates)

    @property
    def ndim(self) -> int:
        return len(self.spatial_shape)

    @property
    def positions(self) -> np.ndarray:
        """Centres of the active voxels, [N, D] in mm."""
        return self.origin + (self.coordinates + 0.5) * self.voxel_size

    def replace(self, **changes: object) -> Event:
        """The same event with some fields changed, checked again. Changing coordinates drops the prediction."""
        if "coordinates" in changes:
            changes = {"prediction": None, **changes}
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def no_particles() -> np.ndarray:
    """An empty list of particles."""
    return np.zeros(0, dtype=PARTICLE_DTYPE)


def particle_label(pdg: int, parent_pdg: int, process: str) -> int:
    """The class of a particle's voxels by the usual rule of the field.

    Protons and nuclei are HIP; muons, pions and other hadrons MIP; electrons from decay at rest Michel; electrons
    knocked out by muons and hadrons delta; all other photons and electrons shower. An electron of unknown process ("")
    is -1.
    """
    if abs(pdg) == 11 and not process:
        return UNKNOWN_LABEL
    if abs(pdg) == 11 and abs(parent_pdg) == 13 and process in ("Decay", "muMinusCaptureAtRest"):
        return CLASS_NAMES.index("Michel")
    if abs(pdg) == 11 and abs(parent_pdg) not in (11, 22) and process in ("muIoni", "hIoni"):
        return CLASS_NAMES.index("delta")
    if abs(pdg) in (11, 22):
        return CLASS_NAMES.index("shower")
    return CLASS_NAMES.index("HIP" if pdg == 2212 or pdg > 1_000_000_000 else "MIP")


def collate(events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays of a batch: coordinates [N, 1 + D] int32 with the event's position first, energies [N, 1] float32 in MeV,
    labels [N] int64 (-1 unknown). Raises ValueError if there are no events or they differ in dimension, TypeError if
    the argument is not a list of events. `sscn_triton.collate` joins samples of any other kind."""
    if isinstance(events, Event):
        raise TypeError("collate takes a list of events, got one Event: collate([event])")
    events = list(events)
    if strangers := {type(event).__name__ for event in events if not isinstance(event, Event)}:
        raise TypeError(f"collate takes a list of events, got a list of {', '.join(sorted(strangers))}")
    if not events:
        raise ValueError("a batch needs at least one event, got none")
    dimensions = {event.ndim for event in events}
    if len(dimensions) != 1:
        raise ValueError(
            f"a batch needs events of the same dimension, got {len(events)} events of dimensions {sorted(dimensions)}"
        )
    batch = np.repeat(np.arange(len(events), dtype=np.int32), [len(event) for event in events])
    coordinates = np.concatenate([event.coordinates for event in events])
    energy = np.concatenate([event.energy for event in events])
    labels = np.concatenate([event.labels for event in events])
    return np.column_stack([batch, coordinates]), energy[:, None], labels.astype(np.int64)


def _coordinates(given: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    coordinates = np.asarray(given)
    if coordinates.ndim != 2 or coordinates.shape[1] != len(shape):
        raise ValueError(f"coordinates must be [N, {len(shape)}] for spatial_shape {shape}, got {coordinates.shape}")
    if coordinates.dtype.kind not in "iu":
        raise TypeError(f"coordinates must be integers, got dtype {coordinates.dtype}")
    outside = ((coordinates < 0) | (coordinates >= np.array(shape))).any(1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise ValueError(f"coordinates of row {row}, {coordinates[row].tolist()}, lie outside spatial_shape {shape}")
    coordinates = np.ascontiguousarray(coordinates, dtype=np.int32)
    keys = np.ravel_multi_index(tuple(coordinates.T), shape)
    in_order = np.sort(keys)
    repeated = int((in_order[1:] == in_order[:-1]).sum())
    if repeated:
        _, first = np.unique(keys, return_index=True)
        row = int(np.setdiff1d(np.arange(len(coordinates)), first)[0])
        raise ValueError(
            f"{repeated} duplicate voxels in coordinates, the first of them {coordinates[row].tolist()} in row {row}"
        )
    return coordinates


def _energy(given: np.ndarray, count: int) -> np.ndarray:
    energy = np.asarray(given)
    if energy.shape != (count,):
        raise ValueError(f"energy must be [{count}], one number per voxel, got {energy.shape}")
    if energy.dtype.kind not in "fiu":
        raise TypeError(f"energy must be real numbers in MeV, got dtype {energy.dtype}")
    if not np.isfinite(energy).all():
        row = int(np.flatnonzero(~np.isfinite(energy))[0])
        raise ValueError(f"energy of row {row} is {energy[row]}, not a finite number of MeV")
    return energy.astype(np.float32)


def _integers(given: np.ndarray, count: int, field: str, limit: int) -> np.ndarray:
    values = np.asarray(given)
    if values.shape != (count,):
        raise ValueError(f"{field} must be [{count}], one number per voxel, got {values.shape}")
    if values.dtype.kind not in "iu":
        raise TypeError(f"{field} must be integers, got dtype {values.dtype}")
    wrong = (values < -1) | (values >= limit)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"{field} of row {row} is {values[row]}; the allowed range is -1 (unknown) to {limit - 1}")
    return values
