"""The 2018 study's own numbers, the only ones in the report that were typed in and not measured.

Source: Dominé and Terao, slides at the CPAD workshop 2018; extended in arXiv:1903.05663. Five classes, 100k simulated
events at each of 192, 512 and 768 px (3 mm voxels), 80k of them for training; training accuracy 99.3 % sparse after 19
hours, 92 % dense after 11 days. Batch size, iterations and GPU are not known here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SOURCE = "Dominé and Terao, CPAD workshop 2018 (extended in arXiv:1903.05663)"
TASK = "100k simulated events, 80k of them for training; trained for 19 hours (sparse) and 11 days (dense)"


@dataclass(frozen=True)
class PublishedNetwork:
    """One column of the slides' table. Accuracy is a fraction; memory in GB (GPU); time in seconds per forward pass."""

    name: str
    size: int
    nonzero_accuracy: float
    memory_gb: float
    forward_seconds: float
    remark: str = ""


@dataclass(frozen=True)
class PublishedClass:
    """One class: its mean share of the nonzero voxels and the sparse network's accuracy on it, both fractions."""

    name: str
    share: float
    accuracy: float


TRAINING_ACCURACY = {"sparse": 0.993, "dense": 0.92}
"""Nonzero accuracy in training, by network, after 19 hours and after 11 days: the only accuracies that the slides give
for both networks. Fractions."""

NETWORKS = (
    PublishedNetwork("sparse", 192, 0.98, 0.066, 0.058),
    PublishedNetwork("sparse", 512, 0.988, 0.57, 2.6),
    PublishedNetwork("sparse", 768, 0.989, 1.0, 3.6),
    PublishedNetwork("dense", 192, 0.92, 4.6, 0.68, remark="training accuracy"),
)

CLASSES = (
    PublishedClass("HIP", 0.12, 0.984),
    PublishedClass("MIP", 0.43, 0.995),
    PublishedClass("shower", 0.42, 0.991),
    PublishedClass("delta", 0.02, 0.875),
    PublishedClass("Michel", 0.01, 0.628),
)


MICHEL = {"efficiency": 0.939, "purity": 0.967, "clustering_efficiency": 0.954, "clustering_purity": 0.955}
"""Michel electrons, from the abstract of arXiv:1903.05663v3, which calls the purity true positive rate. Fractions."""

RATIOS = {3: {"memory": 364.0, "time": 33.0}, 2: {"memory": 93.0, "time": 3.1}}
"""Per number of dimensions, the dense network's inference cost divided by the sparse one's, from the abstract of
arXiv:1903.05663, which does not give the size of the images."""


def as_record() -> dict[str, Any]:
    """All published numbers, as report.json stores them."""
    return {
        "source": SOURCE,
        "task": TASK,
        "networks": [asdict(network) for network in NETWORKS],
        "training_accuracy": TRAINING_ACCURACY,
        "classes": [asdict(one) for one in CLASSES],
        "michel": MICHEL,
        "ratios": [{"ndim": ndim, **ratio} for ndim, ratio in RATIOS.items()],
    }
