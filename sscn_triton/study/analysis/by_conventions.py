"""A network of the five types by the conventions of PILArNet-M, whose events lack the weaker voxels:

    python -m sscn_triton.study.analysis.by_conventions --checkpoint lartpc-192 --data events.h5 --out conventions.json

The network labels every event twice: once from the voxels that the conventions count, and once from all voxels, as it
was trained. Both times only the counted voxels are judged, so that the difference is what the network misses without
the weaker ones. `sscn evaluate --conventions pilarnet-m` gives the first of the two alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sscn_triton.common.files import check_new, write_whole
from sscn_triton.common.options import check_suffix
from sscn_triton.common.output import as_json
from sscn_triton.common.progress import Progress
from sscn_triton.common.results import about
from sscn_triton.lartpc import CLASS_NAMES, Event, EventFile, open_events
from sscn_triton.lartpc.files.conventions import PILARNET_POINTS, PILARNET_THRESHOLD, PilarnetConventions
from sscn_triton.lartpc.numbering import PILARNET_CLASSES
from sscn_triton.study.data.batches import as_batch
from sscn_triton.study.data.identity import simulations
from sscn_triton.study.data.labels import relabel
from sscn_triton.study.training.checkpoint import load_checkpoint, network_of
from sscn_triton.study.training.metrics import Tally, voxel_metrics
from sscn_triton.study.training.networks import shape_logits, voxel_logits

PROGRAM = "python -m sscn_triton.study.analysis.by_conventions"
READ = ("counted", "all")
"""The voxels that the network reads."""


def readings(network: torch.nn.Module, counted: Event, whole: Event) -> dict[str, torch.Tensor]:
    """The logits of the counted voxels [N, classes] for PILArNet-M's classes, by what the network reads."""
    kept = torch.from_numpy(whole.energy > np.float32(PILARNET_THRESHOLD))
    with torch.no_grad():
        return {
            "counted": shape_logits(voxel_logits(network, as_batch([counted]))),
            "all": shape_logits(voxel_logits(network, as_batch([whole])))[kept],
        }


def measure(network: torch.nn.Module, events: EventFile) -> dict[str, Any]:
    """Scores by what the network reads, of the events of a file that the conventions include."""
    included = PilarnetConventions(events)
    if not len(included):
        raise ValueError(f"{events.path}: has no event of at least {PILARNET_POINTS} points")
    tallies = {name: Tally(len(PILARNET_CLASSES)) for name in READ}
    with Progress("judging events", len(included)) as progress:
        for place, number in enumerate(included.numbers):
            counted = relabel(included[place], "shapes")
            labels = torch.from_numpy(counted.labels.astype(np.int64))
            for name, logits in readings(network, counted, events[number]).items():
                tallies[name].add(logits, labels)
            progress.to(place + 1)
    scores = {name: asdict(tally.scores()) for name, tally in tallies.items()}
    return {name: one | {"voxel_metrics": asdict(voxel_metrics(one["confusion"]))} for name, one in scores.items()}


def run(path: str, data: str, out: str, overwrite: bool = False) -> dict[str, Any]:
    """Measure, write the record to `out` and return it: checkpoint, data, classes, and the scores for each of READ.

    Raises FileNotFoundError, or ValueError naming the file, if a file cannot be used, if the network labels other
    classes, or if no event has enough points.
    """
    check_suffix("out", out, (".json",))
    check_new("out", out, overwrite)
    checkpoint = load_checkpoint(path)
    if tuple(checkpoint.classes) != CLASS_NAMES or checkpoint.network.ndim != 3:
        raise ValueError(
            f"{path}: labels {', '.join(checkpoint.classes)} in {checkpoint.network.ndim} dimensions; needs "
            f"{', '.join(CLASS_NAMES)} in 3"
        )
    record = about("cpu") | {"checkpoint": Path(path).name, "data": Path(data).name, "classes": list(PILARNET_CLASSES)}
    with open_events(data) as events:
        record |= {"simulations": simulations(events)} | measure(network_of(checkpoint).eval(), events)
    write_whole(out, as_json(record) + "\n", overwrite=overwrite)
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0, or 2 if the input is bad or nothing can be written."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, metavar="NAME", help="trained network, as in `sscn predict`")
    parser.add_argument("--data", required=True, metavar="FILE", help="event file")
    parser.add_argument("--out", required=True, metavar="FILE", help="new JSON file")
    parser.add_argument(
        "--overwrite", choices=("true", "false"), default="false", help="replace an existing file (default: false)"
    )
    given = parser.parse_args(arguments)
    try:
        record = run(given.checkpoint, given.data, given.out, given.overwrite == "true")
    except (ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    for name in READ:
        print(f"reading {name} voxels: mean F1 {record[name]['voxel_metrics']['mean_f1']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
