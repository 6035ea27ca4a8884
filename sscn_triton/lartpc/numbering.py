"""The numbering of labels in other data. Five types: ours (`CLASS_NAMES`) and dlprod; shapes: PILArNet-M and SPINE.

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
NUMBERS = tuple(str(number) for number in range(128))
"""Names of labels of unknown meaning: all numbers that fit into a label's type."""
SHAPE_NAMES = ("shower", "track", "Michel", "delta", "low-energy", "ghost")
SHOWER, TRACK, MICHEL, DELTA, LOW_ENERGY, GHOST = range(6)
PILARNET_CLASSES = SHAPE_NAMES[:GHOST]
"""The five classes of PILArNet-M, which has no ghosts."""
MEANINGS = {"five-types": CLASS_NAMES, "shapes": SHAPE_NAMES, "numbers": NUMBERS}
"""The possible meanings of a file's labels, in the terms of `open_events` (truth_means), and their names."""
NO_TRUTH = "none"
"""The value of `open_events` (truth) for reading without labels."""
PID_NAMES = ("photon", "electron", "muon", "pion", "proton", "kaon")
PHOTON, ELECTRON, MUON, PION, PROTON, KAON = range(6)

_PDG = np.array([22, 11, 13, 211, 2212, 321, 0])  # pid -1 selects the last
_PIDS = {22: PHOTON, 11: ELECTRON, 13: MUON, 211: PION, 2212: PROTON, 321: KAON}
_SHAPES = np.array([TRACK, TRACK, SHOWER, DELTA, MICHEL, -1])  # by five-type label, -1 selects the last
_TABLES = {
    (CLASS_NAMES, TWO_CLASSES): np.array([0, 0, 1, 1, 1, -1], dtype=np.int8),
    (SHAPE_NAMES, TWO_CLASSES): np.array([1, 0, 1, 1, -1, -1, -1], dtype=np.int8),
    (CLASS_NAMES, SHAPE_NAMES): _SHAPES.astype(np.int8),
    (CLASS_NAMES, PILARNET_CLASSES): _SHAPES.astype(np.int8),
    (SHAPE_NAMES, PILARNET_CLASSES): np.array([0, 1, 2, 3, 4, -1, -1], dtype=np.int8),
}
"""Labels of the second meaning, by labels of the first, -1 selects the last."""
_TYPICAL_PID = np.array([PROTON, MUON, ELECTRON, ELECTRON, ELECTRON, -1])
_FIVE_TYPES = np.array([2, -1, 4, 3, -1, -1, -1])  # by shape; that of a track depends on its pid
_TRACKS = np.array([-1, -1, 1, 1, 0, 1, -1])  # by pid


def five_types_from_shape(shape: np.ndarray, pid: np.ndarray) -> np.ndarray:
    """Five-type labels, int8, of PILArNet-M's or SPINE's shapes (-1 to 5) and PILArNet-M's pids (-1 to 5).

    A track is HIP for a proton, MIP for a muon, pion or kaon, otherwise unknown, as are all tracks without a
    pid (-1). Low-energy deposits and ghosts have no five-type label: unknown. Raises ValueError for other numbers.
    """
    shape, pid = _known(shape, len(SHAPE_NAMES), "shape"), _known(pid, len(PID_NAMES), "pid")
    return np.where(shape == TRACK, _TRACKS[pid], _FIVE_TYPES[shape]).astype(np.int8)


def shape_from_five_types(labels: np.ndarray) -> np.ndarray:
    """Shapes, int32, of five-type labels (-1 to 4): HIP and MIP are tracks, unknown stays unknown."""
    return _SHAPES[_known(labels, 5, "label")].astype(np.int32)


def pid_from_five_types(labels: np.ndarray, pdg: np.ndarray) -> np.ndarray:
    """PILArNet-M's pids, int32, of voxels or clusters with five-type labels from particles with PDG numbers `pdg`
    (0 unknown): the particle's own pid, or the label's typical one if the particle would give another label."""
    labels = _known(labels, 5, "label")
    own = np.array([_PIDS.get(int(number), -1) for number in np.abs(pdg).ravel()], dtype=np.int32).reshape(labels.shape)
    agrees = (five_types_from_shape(shape_from_five_types(labels), own) == labels) & (own >= 0)
    return np.where(agrees, own, _TYPICAL_PID[labels]).astype(np.int32)


def pdg_from_pid(pid: np.ndarray) -> np.ndarray:
    """PDG numbers, int32, of PILArNet-M's pids, 0 for unknown; always of the particle, because the format does not
    distinguish it from its antiparticle."""
    return _PDG[_known(pid, len(PID_NAMES), "pid")].astype(np.int32)


def as_named(labels: np.ndarray, names: Sequence[str], given: Sequence[str] = CLASS_NAMES) -> np.ndarray:
    """Convert labels that index `given` (-1 unknown) to indices into `names`, int8.

    Five types and shapes convert to themselves, to track (HIP, MIP) and shower (shower, delta, Michel), where
    low-energy deposits and ghosts are unknown, or to PILArNet-M's five classes, where ghosts are unknown and five types
    give no low-energy deposits. Raises ValueError if the labels do not determine the result: shapes do not distinguish
    HIP from MIP, and numbers of unknown meaning distinguish nothing.
    """
    names, given = tuple(names), tuple(given)
    if names not in (CLASS_NAMES, TWO_CLASSES, PILARNET_CLASSES, SHAPE_NAMES, given):
        raise ValueError(
            f"classes must be {', '.join(CLASS_NAMES)} or {', '.join(TWO_CLASSES)} or {', '.join(PILARNET_CLASSES)}, "
            f"got {', '.join(names)}"
        )
    if not can_express(names, given):
        hint = "state their meaning with truth_means (--truth_means)" if given == NUMBERS else "choose other classes"
        raise ValueError(f"labels are {names_in_words(given)}, which do not determine {', '.join(names)}: {hint}")
    if names == given:
        return np.asarray(labels, dtype=np.int8)
    return _TABLES[given, names][_known(labels, len(given), "label")]


def can_express(names: Sequence[str], given: Sequence[str]) -> bool:
    """Whether labels named `given` can be expressed as `names`: see `as_named`."""
    return tuple(names) == tuple(given) or (tuple(given), tuple(names)) in _TABLES


def names_of_labels(truth: str | None, means: str | None, recorded: tuple[str, ...] | None) -> tuple[str, ...]:
    """Names of a file's labels: those that `means` implies; otherwise those that the file contains; otherwise the five
    types if labels are those of the study's own tree, group, array or column (no `truth` named), and numbers if not.
    Raises ValueError for another meaning."""
    if means is not None:
        return MEANINGS[check_meaning(means)]
    if recorded is not None:
        return recorded
    return CLASS_NAMES if truth in (None, NO_TRUTH) else NUMBERS


def check_meaning(means: str) -> str:
    """Return the word if it is one of `MEANINGS`."""
    if means not in MEANINGS:
        raise ValueError(f"truth_means must be one of {', '.join(MEANINGS)}, got {means!r}")
    return means


def names_in_words(names: Sequence[str]) -> str:
    """Names of labels, for a message."""
    return "numbers of unknown meaning" if tuple(names) == NUMBERS else ", ".join(names)


def _known(given: np.ndarray, limit: int, what: str) -> np.ndarray:
    values = np.asarray(given)
    wrong = (values < -1) | (values >= limit) | (values != np.floor(values))
    if wrong.any():
        raise ValueError(f"{what} must be -1 (unknown) to {limit - 1}, got {values[wrong].ravel()[0]}")
    return values.astype(np.int64)
