"""Labels as others number them. The five types are ours (`CLASS_NAMES`) and dlprod's; PILArNet-M and SPINE have shapes.

| number | five types (dlprod) | shape (PILArNet-M, SPINE) | pid (PILArNet-M) |
| --- | --- | --- | --- |
| 0 | HIP | shower | photon |
| 1 | MIP | track | electron |
| 2 | shower | Michel | muon |
| 3 | delta | delta | pion |
| 4 | Michel | low-energy deposit | proton |
| 5 | | ghost | kaon, in some versions |

-1 is unknown everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .event import CLASS_NAMES

TWO_CLASSES = ("track", "shower")
SHAPE_NAMES = ("shower", "track", "Michel", "delta", "low-energy", "ghost")
SHOWER, TRACK, MICHEL, DELTA, LOW_ENERGY, GHOST = range(6)
PID_NAMES = ("photon", "electron", "muon", "pion", "proton", "kaon")
PHOTON, ELECTRON, MUON, PION, PROTON, KAON = range(6)

_PDG = np.array([22, 11, 13, 211, 2212, 321, 0])  # pid -1 picks the last
_PIDS = {22: PHOTON, 11: ELECTRON, 13: MUON, 211: PION, 2212: PROTON, 321: KAON}
_SHAPES = np.array([TRACK, TRACK, SHOWER, DELTA, MICHEL, -1])  # by five-type label, -1 picks the last
_TWO = np.array([0, 0, 1, 1, 1, -1], dtype=np.int8)
_TYPICAL_PID = np.array([PROTON, MUON, ELECTRON, ELECTRON, ELECTRON, -1])
_FIVE_TYPES = np.array([2, -1, 4, 3, -1, -1, -1])  # by shape; a track's depends on its pid
_TRACKS = np.array([-1, -1, 1, 1, 0, 1, -1])  # by pid


def five_types_from_shape(shape: np.ndarray, pid: np.ndarray) -> np.ndarray:
    """Five-type labels, int8, of PILArNet-M's or SPINE's shapes (-1 to 5) and PILArNet-M's pids (-1 to 5).

    A track is HIP if a proton's, MIP if a muon's, pion's or kaon's, else unknown: so are all tracks where there is no
    pid (-1). Low-energy deposits and ghosts have no type of their own: unknown. Raises ValueError for other numbers.
    """
    shape, pid = _known(shape, len(SHAPE_NAMES), "shape"), _known(pid, len(PID_NAMES), "pid")
    return np.where(shape == TRACK, _TRACKS[pid], _FIVE_TYPES[shape]).astype(np.int8)


def shape_from_five_types(labels: np.ndarray) -> np.ndarray:
    """Shapes, int32, of five-type labels (-1 to 4): HIP and MIP are tracks, unknown stays unknown."""
    return _SHAPES[_known(labels, 5, "label")].astype(np.int32)


def pid_from_five_types(labels: np.ndarray, pdg: np.ndarray) -> np.ndarray:
    """PILArNet-M's pids, int32, of voxels or clusters with five-type labels left by particles of PDG numbers `pdg`
    (0 unknown): the particle's own pid, or the typical one of the label where the particle would give another label."""
    labels = _known(labels, 5, "label")
    own = np.array([_PIDS.get(int(number), -1) for number in np.abs(pdg).ravel()], dtype=np.int32).reshape(labels.shape)
    agrees = (five_types_from_shape(shape_from_five_types(labels), own) == labels) & (own >= 0)
    return np.where(agrees, own, _TYPICAL_PID[labels]).astype(np.int32)


def pdg_from_pid(pid: np.ndarray) -> np.ndarray:
    """PDG numbers, int32, of PILArNet-M's pids: of the particle, as the format does not tell it from its antiparticle,
    0 for unknown."""
    return _PDG[_known(pid, len(PID_NAMES), "pid")].astype(np.int32)


def as_named(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Five-type labels (-1 to 4) as numbers in `names`, int8: the five types themselves, or track (HIP, MIP) and shower
    (shower, delta, Michel). Raises ValueError for other names."""
    if tuple(names) == CLASS_NAMES:
        return np.asarray(labels, dtype=np.int8)
    if tuple(names) == TWO_CLASSES:
        return _TWO[_known(labels, 5, "label")]
    raise ValueError(f"classes must be {', '.join(CLASS_NAMES)} or {', '.join(TWO_CLASSES)}, got {', '.join(names)}")


def _known(given: np.ndarray, limit: int, what: str) -> np.ndarray:
    values = np.asarray(given)
    wrong = (values < -1) | (values >= limit) | (values != np.floor(values))
    if wrong.any():
        raise ValueError(f"{what} must be -1 (unknown) to {limit - 1}, got {values[wrong].ravel()[0]}")
    return values.astype(np.int64)
