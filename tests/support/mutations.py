"""Damages event files and reads them: test_damage runs it in a separate process, which prints a line of JSON per case.

Usage: mutations.py FOLDER SEED CASES_A_FILE [FILE ...], the files to damage, all if none is named.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sscn_triton import cli
from sscn_triton.lartpc import Event, EventFileError, Prediction, open_events
from tests.support.events.files import public_rows, random_event, same_event, write_larcv3, write_pilarnet
from tests.support.events.formats import FORMATS, MAKERS, name_of
from tests.support.events.larcv import DATA, LABELS, PARTICLES, Trees, write_larcv

TIME_LIMIT = 60.0
"""Seconds a case may take before its process is ended; one takes some milliseconds."""

COMMANDS_EVERY = 6
"""Damaged files of which one is also given to the command line."""

SHAPE = (20, 21, 22)
EVENTS = [
    random_event(seed, 400, SHAPE).replace(labels=np.random.default_rng(seed).integers(0, 5, 400), origin=np.zeros(3))
    for seed in range(3)
]
GUESS = Prediction(np.arange(400) % 5, np.random.default_rng(0).random((400, 5)))
Read = Callable[[Path], list[Event]]


def read_all(path: Path) -> list[Event]:
    with open_events(path) as events:
        return list(events)


def whole_files(folder: Path) -> Iterator[Path]:
    """A file of each registered format, of public PILArNet-M, and a table without checksums."""
    for kind in FORMATS:
        events = EVENTS if kind.name == "CSV" else [event.replace(prediction=GUESS) for event in EVENTS]
        yield MAKERS[kind.name](folder / name_of(kind), events)
    yield write_pilarnet(folder / "public.h5", [public_rows(3)] * 3)
    rows = np.column_stack([EVENTS[0].coordinates, EVENTS[0].energy, EVENTS[0].labels])
    np.savetxt(folder / "plain.csv", rows, delimiter=",", header="x,y,z,value,label", comments="", fmt="%g")
    yield folder / "plain.csv"


def larcv3_groups() -> dict[str, list[list[tuple[Event, np.ndarray]]]]:
    values = {"data": [event.energy for event in EVENTS], "fivetypes": [event.labels for event in EVENTS]}
    return {
        f"sparse3d_{name}_group": [[(event, one)] for event, one in zip(EVENTS, columns, strict=True)]
        for name, columns in values.items()
    }


def damaged_bytes(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """The content after one kind of damage: truncation, flipped bits, or a lost or blank block."""
    kind = ("cut", "bits", "bits", "bits", "lost", "blank")[rng.integers(6)]
    data = np.frombuffer(content, np.uint8).copy()
    place = int(rng.integers(len(data)))
    if kind == "cut":
        data = data[:place]
    elif kind == "bits":
        where = rng.integers(len(data), size=int(rng.integers(1, 4)))
        data[where] ^= (1 << rng.integers(8, size=len(where))).astype(np.uint8)
    elif kind == "lost":
        data = np.delete(data, slice(place, place + int(rng.integers(1, 64))))
    else:
        data[place : place + int(rng.integers(1, 64))] = 0
    return f"{kind} at {place}", data.tobytes()


def _set(tree: str, field: str, place: int, value: float) -> Callable[[Trees], None]:
    def damage(trees: Trees) -> None:
        trees[tree][field][1] = np.array(trees[tree][field][1])
        trees[tree][field][1][place] = value

    return damage


def _shift_labels(trees: Trees) -> None:
    ids = np.array(trees[LABELS]["_voxel_v._id"][1])
    ids[-1] += 1 if ids[-1] + 1 < np.prod(SHAPE) else -1
    trees[LABELS]["_voxel_v._id"][1] = ids


def _heaps(content: bytes) -> list[int]:
    return [place for place in range(len(content) - 80) if content[place : place + 4] == b"GCOL"]


def wrong_content(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files that are intact but contain impossible values."""
    larcv2: dict[str, Callable[[Trees], None]] = {
        "wrong tree": lambda trees: trees.update(sparse3d_other_tree=trees.pop(DATA)),
        "no labels": lambda trees: trees.update({"sparse3d_labels_tree": trees.pop(LABELS)}),
        "no particles": lambda trees: trees.update({"particle_other_tree": trees.pop(PARTICLES)}),
        "unequal ids": _shift_labels,
        "unequal entries": lambda trees: trees.update(
            {LABELS: {field: items[:2] for field, items in trees[LABELS].items()}}
        ),
        "label 5": _set(LABELS, "_voxel_v._value", 3, 5),
        "label -1": _set(LABELS, "_voxel_v._value", 3, -1),
        "label 0.5": _set(LABELS, "_voxel_v._value", 3, 0.5),
        "label NaN": _set(LABELS, "_voxel_v._value", 3, np.nan),
        "energy NaN": _set(DATA, "_voxel_v._value", 7, np.nan),
        "energy infinite": _set(DATA, "_voxel_v._value", 7, np.inf),
        "voxel outside": _set(DATA, "_voxel_v._id", -1, float(np.prod(SHAPE))),
        "voxel huge": _set(DATA, "_voxel_v._id", -1, 2.0**63),
        "huge image": lambda trees: trees[DATA].update({"_meta._xnum": [np.uint64(2**62)] * 3}),
    }
    for name, damage in larcv2.items():
        yield f"larcv2: {name}", write_larcv(folder / "wrong.root", EVENTS, damage)
    for name, group, value in (
        ("label 5", "fivetypes", 5),
        ("label NaN", "fivetypes", np.nan),
        ("energy NaN", "data", np.nan),
        ("energy infinite", "data", -np.inf),
    ):
        groups = larcv3_groups()
        event, values = groups[f"sparse3d_{group}_group"][1][0]
        values = values.astype(np.float32)
        values[5] = value
        groups[f"sparse3d_{group}_group"][1][0] = (event, values)
        yield f"larcv3: {name}", write_larcv3(folder / "wrong3.h5", groups)
    groups = larcv3_groups()
    groups["sparse3d_fivetypes_group"][1] = [(EVENTS[2], EVENTS[2].labels)]
    yield "larcv3: unequal ids", write_larcv3(folder / "wrong3.h5", groups)
    for name in ("ours.h5", "public.h5"):
        content = (folder / name).read_bytes()
        for number, place in enumerate(_heaps(content)):
            blank = content[: place + 16] + bytes(64) + content[place + 80 :]  # HDF5 would hang on it
            (folder / "blank.h5").write_bytes(blank)
            yield f"{name}: heap {number} is blank", folder / "blank.h5"
    for place, value in ((0, 768), (1, -1), (2, 1e30), (0, np.nan), (3, np.nan), (3, np.inf), (1, 0.5)):
        rows = [part.copy() for part in public_rows(3)]
        rows[0][2, place] = value
        yield f"public: point column {place} is {value}", write_pilarnet(folder / "wrongp.h5", [tuple(rows)])
    for place, value in ((0, 2**31 - 1), (0, -1), (4, 7), (4, -5), (5, 9)):
        rows = [part.copy() for part in public_rows(3)]
        rows[1][1, place] = value
        yield f"public: cluster column {place} is {value}", write_pilarnet(folder / "wrongp.h5", [tuple(rows)])
    good = {"x": np.arange(4), "y": np.arange(4), "z": np.arange(4), "value": np.ones(4), "label": np.arange(4)}
    for field, wrong in (("x", 2**60), ("y", -1), ("value", np.nan), ("value", np.inf), ("label", 9), ("label", -2)):
        columns = {**good, field: good[field].copy()}
        columns[field][2] = wrong
        np.savez(folder / "wrong.npz", **columns)
        yield f"npz: {field} is {wrong}", folder / "wrong.npz"
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        (folder / "wrong.csv").write_text("\n".join(lines))
        yield f"csv: {field} is {wrong}", folder / "wrong.csv"


def same_prediction(one: Event, other: Event) -> bool:
    if one.prediction is None or other.prediction is None:
        return one.prediction is other.prediction
    pairs = ((getattr(one.prediction, field), getattr(other.prediction, field)) for field in ("labels", "scores"))
    return one.prediction.names == other.prediction.names and all(np.array_equal(*pair) for pair in pairs)


def outcome(path: Path, expected: list[Event] | None) -> str:
    """An "error" that names the file, or "equal" events, "other particles", "other" voxels; otherwise a description."""
    faulthandler.dump_traceback_later(TIME_LIMIT, exit=True)
    try:
        events = read_all(path)
    except EventFileError as error:
        named = str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return "error" if named else f"unnamed: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    if expected is None or len(events) != len(expected):
        return "other"
    if not all(map(same_prediction, events, expected)):
        return "other prediction"
    if all(map(same_event, events, expected)):
        return "equal"
    voxels = all(same_event(*pair, particles=False) for pair in zip(events, expected, strict=True))
    return "other particles" if voxels else "other"


def line(path: Path) -> str:
    """The result of `sscn inspect` on a file: "fine", "refused" with one line that names the file, or a description."""
    said, wrong = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
            cli.main(["inspect", str(path)])
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    lines = [one for one in wrong.getvalue().splitlines() if not one.startswith("reading events: ")]
    if code == 0 and not lines:
        return "fine"
    named = len(lines) == 1 and lines[0].startswith(f"sscn inspect: {path}: ")
    return "refused" if code == 2 and named else f"{code}: {wrong.getvalue()}"


def main(folder: Path, seed: int, cases: int, files: list[str]) -> None:
    for place, whole in enumerate(list(whole_files(folder))):
        if files and whole.name not in files:
            continue
        expected, content = read_all(whole), whole.read_bytes()
        rng = np.random.default_rng((seed, place))
        for number in range(cases):
            damage, data = damaged_bytes(content, rng)
            case = {"file": whole.name, "damage": damage}
            print(json.dumps(case), flush=True)
            damaged = folder / f"damaged{whole.suffix}"
            damaged.write_bytes(data)
            told = {"line": line(damaged)} if number % COMMANDS_EVERY == 0 else {}
            print(json.dumps({**case, "outcome": outcome(damaged, expected), **told}), flush=True)
    for damage, path in wrong_content(folder):
        case = {"file": path.name, "damage": damage, "outcome": outcome(path, None), "line": line(path)}
        print(json.dumps(case), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
