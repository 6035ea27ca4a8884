"""The record that `two_by_two` writes: its networks, their trainings, and what these scored and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from sscn_triton.study.training.metrics import constant_answer

MARGIN = 0.05
"""A network has begun to learn if it is better than the best constant answer by this much."""
DENSE, SPARSE = "norms all, sites all", "norms active, sites active"
BACKGROUND = f"{DENSE}, background"
NAMES = {
    "norms all, sites all": "norms over all voxels, dense convolution (the dense twin)",
    "norms active, sites all": "norms over active voxels, dense convolution",
    "norms all, sites active": "norms over all voxels, submanifold convolution",
    "norms active, sites active": "norms over active voxels, submanifold convolution (the sparse network)",
    BACKGROUND: "the dense twin that also learns the background",
}
FOUR = [cell for cell in NAMES if cell != BACKGROUND]
MEASURES = {"batch_scores": "statistics of the batch", "scores": "running statistics"}
"""Ways of judging the held-out crops, by the statistics that the norms use."""
Record = Mapping[str, Any]
Measure = Literal["batch_scores", "scores"]


def rates(record: Record, cell: str) -> dict[float, float]:
    """Accuracy on the crops for choosing, by learning rate that was tried: the better one of those that count."""
    tried = [one for name, one in record["cells"].items() if name.startswith("rate ") and one["cell"] == cell]
    measures = record["setting"].get("choose_by", ["scores"])  # older records have no such setting
    return {one["learning_rate"]: max(one[measure]["nonzero_accuracy"] for measure in measures) for one in tried}


def rate(record: Record, cell: str) -> float:
    """The learning rate of a cell: the most accurate one of its trials."""
    found = rates(record, cell)
    return max(found, key=lambda peak: found[peak])


def crossed(record: Record) -> list[str]:
    """The cells of the two-by-two that the setting asks for: all four in an older record, which does not name them."""
    chosen = record.get("setting", {}).get("cells", FOUR)
    return [cell for cell in FOUR if cell in chosen]


def seeds(record: Record) -> list[int]:
    """The seeds with which all these networks were trained: a command that was stopped leaves others."""
    done = {(one["seed"], one["cell"]) for name, one in record["cells"].items() if name.startswith("seed ")}
    cells = crossed(record)
    return [seed for seed in sorted({seed for seed, _ in done}) if all((seed, cell) in done for cell in cells)]


def timed_name(seed: int) -> str:
    """The name of the training in which the dense twin learns for the CPU time of the sparse network."""
    return f"equal time, seed {seed}: {DENSE}"


def timed(record: Record) -> list[dict[str, Any]]:
    """These trainings, for those of `seeds` that have one."""
    names = [timed_name(seed) for seed in seeds(record)]
    return [record["cells"][name] for name in names if name in record["cells"]]


def runs(record: Record, cell: str) -> list[dict[str, Any]]:
    """The trainings of a cell with these seeds, in their order; there may be fewer of the fifth network."""
    names = [f"seed {seed}: {cell}" for seed in seeds(record)]
    return [record["cells"][name] for name in names if name in record["cells"]]


def trained(record: Record) -> list[str]:
    """The cells that have trainings."""
    return [cell for cell in NAMES if runs(record, cell)]


def active_share(record: Record) -> float:
    """The share of active pixels in the crops for judging; those of unknown label do not count."""
    scores = runs(record, DENSE)[0]["scores"]
    return float(scores["voxels"] / (scores["events"] * record["setting"]["size"] ** 2))


def accuracies(record: Record, cell: str, measure: Measure = "batch_scores") -> np.ndarray:
    """Held-out nonzero accuracy in percent, by seed."""
    return of_runs(runs(record, cell), measure)


def of_runs(trainings: list[dict[str, Any]], measure: Measure) -> np.ndarray:
    """Held-out nonzero accuracy of these trainings in percent."""
    return 100 * np.array([one[measure]["nonzero_accuracy"] for one in trainings])


def better(record: Record, cell: str) -> tuple[Measure, np.ndarray]:
    """The measure by which the network does better on average, and its accuracies."""
    found = {measure: accuracies(record, cell, measure) for measure in get_args(Measure)}
    best = max(found, key=lambda measure: found[measure].mean())
    return best, found[best]


def constant(record: Record) -> tuple[str, float]:
    """The most frequent class of the crops for judging, and the accuracy of giving it to every voxel."""
    shares = runs(record, DENSE)[0]["scores"]["class_share"]
    return constant_answer(record["classes"], shares[: len(record["classes"])])


def learnt(record: Record, measure: Measure = "batch_scores") -> bool:
    """Whether each network of the two-by-two is better than the best constant answer by MARGIN, for every seed."""
    worst = min(accuracies(record, cell, measure).min() for cell in crossed(record))
    return bool(worst > 100 * (constant(record)[1] + MARGIN))


def cpu_seconds(record: Record, cell: str) -> float:
    """CPU seconds of a training of the cell: the median over seeds."""
    return float(np.median([one["cpu_seconds"] for one in runs(record, cell)]))


def cost(record: Record) -> tuple[float, float]:
    """CPU seconds and wall seconds of all trainings."""
    cells = record["cells"].values()
    return sum(one["cpu_seconds"] for one in cells), sum(one["wall_seconds"] for one in cells)
