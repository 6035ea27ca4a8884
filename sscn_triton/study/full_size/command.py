"""The study at its full size on one GPU, in pieces: `sscn study --scale gpu`, or without a command line library

    python3 -m sscn_triton.study.full_size.command [--toy] [--minutes N] [--seed N] [--out FOLDER]

which needs torch, numpy, numba, h5py and lightning, but no internet and no installation. Every call works on the next
pieces for the given minutes and prints what is left. It may be killed at any moment; the next call continues. The
results are in a dated JSON file, which is complete after every piece; `pieces` lists the pieces.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sscn_triton.common import machine
from sscn_triton.common.errors import RunError
from sscn_triton.common.results import Results, about
from sscn_triton.study.config import MINUTES_AT_SCALE
from sscn_triton.study.full_size.pieces import Piece, pieces
from sscn_triton.study.full_size.report import table
from sscn_triton.study.full_size.setting import REAL, TOY, Setting

RECORD = "-study-gpu.json"
WARNING = "*** TOY SIZE ON THE CPU: this shows that the pieces run. These are NOT results of the study. ***"


def study_at_scale(out: str = "study-gpu", minutes: float = MINUTES_AT_SCALE, seed: int = 0, toy: bool = False) -> Path:
    """Work on the next pieces and return the path of the JSON file.

    Raises ValueError before any work if there is no GPU (unless toy), or if the folder belongs to another seed, size,
    device or version. Raises RunError if a piece fails; pieces that were finished before are kept.
    """
    end = time.monotonic() + 60 * minutes
    device = "cpu" if toy else "cuda"
    if not toy and machine.device_name("auto") != "cuda":
        raise ValueError(
            "scale=gpu needs a GPU, but PyTorch finds none here; toy=true runs the same pieces at toy size on the CPU"
        )
    if not toy and (missing := machine.missing_compiler()):
        raise ValueError(f"scale=gpu cannot run here: {missing}")
    setting = Setting(TOY if toy else REAL, Path(out), seed, device)
    results = _results(setting)
    if toy:
        print(WARNING)
    first = True
    while todo := [piece for piece in pieces(setting, results.record["cells"]) if piece.name not in results]:
        piece, left = todo[0], end - time.monotonic()
        if not first and left < piece.seconds:
            break
        if not _do(piece, max(left, piece.seconds), results):
            break
        first = False
    print(table(results.record))
    _say_what_is_left(setting, results)
    if toy:
        print(WARNING)
    return results.path


def _results(setting: Setting) -> Results:
    """The existing record, or a new one with today's date."""
    setting.out.mkdir(parents=True, exist_ok=True)
    found = sorted(setting.out.glob(f"*{RECORD}"))
    path = found[-1] if found else setting.out / f"{datetime.date.today().isoformat()}{RECORD}"
    results = Results(path, about(setting.device))
    wanted = {"seed": setting.seed, "scale": setting.scale.name}
    for name, value in wanted.items():
        if results.record.get(name, value) != value:
            raise ValueError(
                f"{path} belongs to a study with {name}={results.record[name]}, not {value}: choose another out, or "
                f"give the same {name} to continue"
            )
    results.note(**wanted)
    return results


def _do(piece: Piece, seconds: float, results: Results) -> bool:
    """Work on a piece; returns whether it is finished. If not, the next call continues it."""
    start = time.monotonic()
    print(f"{piece.name} ...", flush=True)
    before = results.record.get("seconds", {}).get(piece.name, 0.0)
    try:
        record = piece.do(seconds)
    except (RunError, ArithmeticError, RuntimeError) as error:
        raise RunError(f"{piece.name}: {error}; the pieces finished before are kept in {results.path}") from error
    took = before + time.monotonic() - start
    results.note(seconds={**results.record.get("seconds", {}), piece.name: took})
    if record is None:
        print(f"{piece.name}: continues in the next call")
        return False
    results.add(piece.name, {"kind": piece.kind, **record, "seconds": took})
    print(f"{piece.name}: done, {took:.0f} s")
    return True


def _say_what_is_left(setting: Setting, results: Results) -> None:
    left = [piece.name for piece in pieces(setting, results.record["cells"]) if piece.name not in results]
    done = f"{len(results)} pieces are finished in {results.path}"
    if left:
        print(f"{done}; {len(left)} are left, next: {left[0]}. The same command continues.")
    else:
        print(f"{done}; nothing is left. To show it in the book, copy it to book/results in a clone.")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0; 1 if a piece failed; 2 if the machine lacks a requirement or the input is bad."""
    parser = argparse.ArgumentParser(prog="make gpu-study", description=(__doc__ or "").split(":")[0])
    parser.add_argument(
        "--out", default="study-gpu", help="folder for events, trainings and the JSON file (default: study-gpu)"
    )
    parser.add_argument("--minutes", type=float, default=MINUTES_AT_SCALE, help="minutes for this call (default: 7.5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of events and trainings (default: 0)")
    parser.add_argument("--toy", action="store_true", help="run at toy size on the CPU, only to show that it runs")
    options = parser.parse_args(words)
    if not 0 < options.minutes < float("inf") or options.seed < 0:
        parser.error(f"minutes must be positive and seed 0 or more, got {options.minutes} and {options.seed}")
    try:
        study_at_scale(options.out, options.minutes, options.seed, options.toy)
    except (RunError, ValueError, OSError) as error:
        print(f"make gpu-study: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
