"""How many mistakes come from the edge of the image? A trained network reads the same voxels cut out and whole:

    python -m sscn_triton.study.questions.image_edge --checkpoint lartpc-192 --out image-edge.json

Events are simulated in images that are larger than those of the training. The network labels the window in the middle
twice: once from the window alone, as it reads an image of that size, and once from the whole image, where it also sees
what the window cuts off. Only voxels of the window count, by the same truth. Only events with their vertex in the
window are used, because every image of the training has one. The gain is what a network of these weights loses at the
edge; one that was trained on images of the larger size could gain more.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sscn_triton.common.files import check_new, write_whole
from sscn_triton.common.options import check_least, check_suffix
from sscn_triton.common.output import as_json
from sscn_triton.common.progress import Progress
from sscn_triton.common.results import about
from sscn_triton.lartpc import CLASS_NAMES, Event, simulate
from sscn_triton.lartpc.cropping import crop
from sscn_triton.study.analysis.mistakes import Mistakes
from sscn_triton.study.data.batches import LEAST_VOXELS, as_batch
from sscn_triton.study.training.checkpoint import Checkpoint, load_checkpoint, network_of, training_options
from sscn_triton.study.training.metrics import Tally
from sscn_triton.study.training.networks import voxel_logits

PROGRAM = "python -m sscn_triton.study.questions.image_edge"
SEEN = ("window", "whole")
"""What the network sees: the window alone, or the whole image around it."""


TRIES = 1000
"""Number of windows with a vertex in a row with too few voxels after which there are taken to be none with more."""


@dataclass(frozen=True)
class Setting:
    """window, whole: edges in voxels of the window that is judged and of the image around it; events: number of events;
    minimum_voxels: active voxels in a window, fewer of which do not count as an event, as in `sscn simulate`."""

    window: int = 192
    whole: int = 384
    events: int = 400
    seed: int = 800
    minimum_voxels: int = 100

    def __post_init__(self) -> None:
        check_least(self, window=8, events=2, seed=0, minimum_voxels=LEAST_VOXELS)
        if self.whole <= self.window:
            raise ValueError(f"whole must be more than the window of {self.window} voxels, got {self.whole}")


def middle(event: Event, size: int) -> tuple[Event, np.ndarray]:
    """The window of `size` voxels in the middle of an event, and which voxels [N] of the event it contains."""
    corner = (np.array(event.spatial_shape) - size) // 2
    inside = np.asarray(((event.coordinates >= corner) & (event.coordinates < corner + size)).all(1))
    return crop(event, size, corner=corner.tolist()), inside


def has_vertex(event: Event, size: int) -> bool:
    """Whether the vertex of a simulated event, where its first particle starts, is in the window of `middle`."""
    place = event.particles["start"][0] / event.voxel_size
    corner = (np.array(event.spatial_shape) - size) // 2
    return bool(((place >= corner) & (place < corner + size)).all())


def logits_of(network: torch.nn.Module, event: Event) -> torch.Tensor:
    """The logits [N, classes] of the event's voxels."""
    with torch.no_grad():
        return voxel_logits(network, as_batch([event]))


def measure(network: torch.nn.Module, setting: Setting) -> dict[str, Any]:
    """What the network gets right in the windows, seen both ways, and the gain; see `run`. Raises ValueError if no
    window has enough voxels."""
    tallies = {name: Tally(len(CLASS_NAMES)) for name in SEEN}
    mistakes = {name: Mistakes(len(CLASS_NAMES)) for name in SEEN}
    index = done = voxels = tried = 0
    with Progress("judging windows", setting.events) as progress:
        while done < setting.events:
            event = simulate(setting.seed, index, setting.whole)
            index += 1
            if not has_vertex(event, setting.window):
                continue
            window, inside = middle(event, setting.window)
            tried += 1
            if len(window) < setting.minimum_voxels:
                if tried >= TRIES:
                    least = setting.minimum_voxels
                    raise ValueError(f"of {tried} windows in a row, none has minimum_voxels={least} active voxels")
                continue
            tried = 0
            for name, logits in (("window", logits_of(network, window)), ("whole", logits_of(network, event)[inside])):
                tallies[name].add(logits, torch.from_numpy(window.labels.astype(np.int64)))
                mistakes[name].add(window, torch.softmax(logits, 1).numpy())
            voxels += len(event)
            done += 1
            progress.to(done)
    found: dict[str, Any] = {"simulated": index, "voxels_of_whole_images": voxels}
    for name in SEEN:
        causes = mistakes[name].record()
        found[name] = asdict(tallies[name].scores()) | {key: causes[key] for key in ("causes", "cause_voxels")}
    return found | {"gain": gain(tallies["window"].confusions, tallies["whole"].confusions)}


def gain(window: Sequence[np.ndarray], whole: Sequence[np.ndarray]) -> dict[str, list[float | int]]:
    """The gain by seeing the whole image: of all voxels ("nonzero") and by class, each as mean over events, standard
    error of this mean, and number of events. window, whole: confusions [true, predicted] of the same events."""
    confusions = np.array([window, whole], dtype=np.float64)  # [2, events, true, predicted]
    right, true = np.diagonal(confusions, axis1=2, axis2=3), confusions[0].sum(2)
    rows = {"nonzero": (right.sum(2), true.sum(1))}
    rows |= {name: (right[:, :, c], true[:, c]) for c, name in enumerate(CLASS_NAMES)}
    found = {}
    for name, (correct, number) in rows.items():
        some = number > 0
        gains = (correct[1, some] - correct[0, some]) / number[some]
        error = gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        found[name] = [float(gains.mean()) if len(gains) else math.nan, float(error), len(gains)]
    return found


def run(setting: Setting, path: str, out: str, overwrite: bool = False) -> dict[str, Any]:
    """Measure, write the record to `out` and return it.

    The record has setting, classes, the network, `window` and `whole` (scores and causes of the wrong voxels, see
    `Tally.scores` and `CauseCounts.record`), and `gain`. Raises FileNotFoundError, or ValueError naming the file, if a
    file cannot be used or if the network is of another kind.
    """
    check_suffix("out", out, (".json",))
    check_new("out", out, overwrite)
    checkpoint = load_checkpoint(path)
    _check_network(checkpoint, path)
    record = about("cpu") | {"setting": asdict(setting), "classes": list(CLASS_NAMES)}
    record["network"] = {"checkpoint": Path(path).name, "step": checkpoint.step, **asdict(checkpoint.network)}
    record |= measure(network_of(checkpoint).eval(), setting)
    write_whole(out, as_json(record) + "\n", overwrite=overwrite)
    return record


def _check_network(checkpoint: Checkpoint, path: str) -> None:
    network, classes = checkpoint.network, tuple(checkpoint.classes)
    if (network.kind, network.ndim, classes) != ("sparse", 3, CLASS_NAMES):
        raise ValueError(
            f"{path}: has a {network.kind} network in {network.ndim} dimensions with classes {', '.join(classes)}; "
            f"needs a sparse one in 3 dimensions with classes {', '.join(CLASS_NAMES)}"
        )
    labels = training_options(checkpoint, path).labels
    if labels != "slides":
        raise ValueError(f"{path}: was trained with labels={labels}; needs labels=slides, those of the windows")


def summary(record: dict[str, Any]) -> str:
    """The gain in one line."""
    mean, error, events = record["gain"]["nonzero"]
    accuracies = [f"{100 * record[name]['nonzero_accuracy']:.2f} %" for name in SEEN]
    return (
        f"{accuracies[0]} from the window alone, {accuracies[1]} from the whole image: a gain of "
        f"{100 * mean:.2f} ± {100 * error:.2f} points (standard error over {events} events)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0, or 2 if the input is bad or nothing can be written."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, metavar="NAME", help="trained network, as in `sscn predict`")
    parser.add_argument("--out", required=True, metavar="FILE", help="new JSON file")
    for one in fields(Setting):
        text = f"see Setting (default: {one.default})"
        parser.add_argument(f"--{one.name}", type=int, default=one.default, metavar="N", help=text)
    parser.add_argument(
        "--overwrite", choices=("true", "false"), default="false", help="replace an existing file (default: false)"
    )
    given = vars(parser.parse_args(arguments))
    path, out, overwrite = given.pop("checkpoint"), given.pop("out"), given.pop("overwrite") == "true"
    try:
        print(summary(run(Setting(**given), path, out, overwrite)))
    except (ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
