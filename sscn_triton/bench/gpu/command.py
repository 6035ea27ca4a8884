"""Named times on a GPU, its kernels, a search for tiles, then tests: `make gpu`; all cells in parts: `make gpu-full`.

    python3 -m sscn_triton.bench.gpu [--full] [--toy] [--seconds N] [--parts LIST] [--only TEXT] [--out FILE]

The command needs a clone, torch with its Triton, numpy, numba, pytest and hypothesis, but no internet and no
installation. A second run continues where the first stopped. Without a CUDA device, or with --toy, everything runs on
the CPU in Triton's interpreter at toy size, which checks that the code runs and times nothing.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sscn_triton.bench.gpu.parts import FULL, PARTS, Run
from sscn_triton.common import machine
from sscn_triton.common.results import ROOT, Results, about

RESULTS = ROOT / "book" / "results"
SECONDS = 540.0
WARNING = "*** NO CUDA DEVICE: kernels are interpreted on the CPU. These are NOT timings of a GPU. ***"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command.

    Exit code: 0; 1 if a result is wrong, or a cell or a test failed; 2 if the machine lacks a requirement, or if the
    output file is of another device.
    """
    options = _options(words)
    os.environ["TRITON_INTERPRET"] = "1" if options.toy else "0"
    missing = _missing(options.toy)
    if missing:
        print(f"cannot run here: {missing}", file=sys.stderr)
        return 2
    if options.toy:
        print(WARNING)
    try:
        results = _results(options)
    except ValueError as error:
        print(f"cannot go on: {error}; name another file with --out", file=sys.stderr)
        return 2
    code = Run(results, options).do()
    if options.toy:
        print(WARNING)
        if options.out is None:
            shutil.rmtree(results.path.parent)
    return code


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    import torch

    parser = argparse.ArgumentParser(prog="make gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--full", action="store_true", help="the whole grid, as far as it goes in the given time")
    parser.add_argument("--toy", action="store_true", help="toy size, on the CPU, interpreted; writes no results")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"end after this time, all parts together ({SECONDS:.0f})"
    )
    parser.add_argument(
        "--parts",
        type=_parts,
        help=f"only these, separated by commas: {', '.join(PARTS)} (with --full {', '.join(FULL)})",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only cells with this in their name")
    parser.add_argument(
        "--out", type=Path, help="JSON file; by default a dated one in the folder $OUT, or in book/results without $OUT"
    )
    options = parser.parse_args(words)
    options.toy = options.toy or not torch.cuda.is_available()
    options.parts = options.parts or list(FULL if options.full else PARTS)
    return options


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if not set(parts) <= PARTS.keys():
        raise argparse.ArgumentTypeError(f"'{text}' is no list of {', '.join(PARTS)}")
    return [part for part in PARTS if part in parts]


def _missing(toy: bool) -> str | None:
    """A requirement of a run that this machine lacks, or None."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return (
            "no triton; PyTorch for CUDA and ROCm brings it, for the CPU it comes with pip install 'sscn[interpreter]'"
        )
    for module in ("pytest", "hypothesis", "numba"):
        try:
            __import__(module)
        except ImportError:
            return f"no {module}"
    return None if toy else machine.missing_compiler()


def _target(options: argparse.Namespace) -> Path:
    if options.out is not None:
        return options.out
    if options.toy:
        return Path(tempfile.mkdtemp()) / "toy.json"
    folder = Path(os.environ["OUT"]) if os.environ.get("OUT") else RESULTS
    return folder / ("gpu-full.json" if options.full else f"{datetime.date.today().isoformat()}-gpu.json")


def _results(options: argparse.Namespace) -> Results:
    """The record to continue: that of the output file or, if there is none, that of its name in book/results.

    Raises ValueError if the output file was measured on another device or with other versions.
    """
    path, kept = _target(options), RESULTS / _target(options).name
    known = about("cpu" if options.toy else "cuda")
    if not path.is_file() and kept.is_file():
        try:
            results = Results(kept, known)
        except ValueError as error:
            print(f"starting anew: {error}")
        else:
            print(f"continuing {kept}")
            results.path = path
            return results
    return Results(path, known)


if __name__ == "__main__":
    sys.exit(main())
