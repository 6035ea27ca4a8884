"""The options of a study. Imports nothing slow, because the command line imports this module to print help."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from sscn_triton.common.options import check_least, check_positive, check_types
from sscn_triton.lartpc.files.reading_options import ReadingOptions
from sscn_triton.study.training.networks import NetworkSettings

MINUTES, EVENTS, IMAGE = 10.0, 200, 192
EVENTS_PER_MINUTE = 20
"""Simulated events per minute of a short study, so that simulation does not use all of its time."""
MINUTES_AT_SCALE = 7.5
"""Defaults of options that another option may forbid."""
AT_SCALE = ("scale", "out", "minutes", "seed", "toy")
"""The options of scale=gpu."""


@dataclass(frozen=True)
class StudyConfig(ReadingOptions):
    """Train a sparse and a dense UResNet side by side on the same liquid-argon images, and write a report.

    The sparse and the dense network have the same layers and start from the same weights. They see the same crops in
    the same order for the same time, and so does the larger dense network of 2018. The sparse network is also trained
    on whole events, and on stopping muons to find their Michel electrons. The report (one HTML page that needs no
    network, its figures as PNG, and every number as JSON) shows nonzero accuracy against iterations and wall time,
    accuracy per class, time per step, peak memory, how time and memory grow with the image, mistakes and Michel
    electrons. It answers each question that the 2018 study left open with a small experiment, and it compares its
    numbers with those of that study.

    With scale=gpu, the command runs the study at its full size (192, 512 and 768 px) on one GPU, in pieces: every call
    continues for the given minutes and prints what is left. The only other options of this scale are out, minutes (7.5
    if omitted), seed and toy.

    Args:
        data: file with the events to use, in any format that `sscn inspect` reads, or a folder of such files. If
            omitted, events are simulated.
        out: new folder for the report, study if omitted. With scale=gpu, the folder for events, trainings and the dated
            JSON file, study-gpu if omitted.
        scale: laptop for about ten minutes on two cores, gpu for the full size.
        toy: with scale=gpu, run the same pieces at toy size on the CPU. This only shows that they run.
        size: edge of the crops in voxels. It must be a multiple of 2 ** depth (32 at the default depth) and larger than
            that, because the dense network of 2018 requires it.
        minutes: time limit of the whole study, 10 if omitted. However few the minutes are, every network makes at least
            one step and is evaluated on at least one image. The open questions need four minutes or more; otherwise the
            study skips them.
        steps: number of training steps of each network, instead of a time limit. Such a study can be repeated exactly.
        seed: seed of the simulated events, the split, the crops and the initial weights.
        events: number of events. If omitted, the study simulates 200 events, or 20 per minute if it takes less than ten
            minutes; from a file, it takes the first events, all if omitted.
        image: edge of a simulated event in voxels, 192 if omitted; not allowed with a file.
        batch: crops per training step. Whole events are trained on one at a time.
        filters: channels of the first level; level i has i times as many.
        depth: number of levels.
        learning_rate: peak learning rate of Adam in the one-cycle schedule.
        questions: whether to answer the questions that the 2018 study left open, in a quarter of the time: accuracy at
            equal time and memory, number of events, receptive field, weights for Michel electrons, single particles.
        overwrite: replace an earlier report in that folder, once the new one is complete.
    """

    data: str | None = None
    out: str = ""
    scale: Literal["laptop", "gpu"] = "laptop"
    toy: bool = False
    size: int = 64
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    events: int | None = None
    image: int | None = None
    batch: int = 2
    filters: int = 16
    depth: int = 5
    learning_rate: float = 3e-3
    questions: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        self._refuse_useless()
        if not self.out:
            object.__setattr__(self, "out", "study" if self.scale == "laptop" else "study-gpu")
        check_least(self, events=2, batch=1, filters=1, depth=1, seed=0, steps=1)
        check_positive(self, "minutes", "learning_rate")
        largest = NetworkSettings("study", depth=self.depth)
        if not largest.takes(self.size):
            divisor = largest.divisor
            raise ValueError(
                f"size must be a multiple of {divisor} (2 ** depth, depth {self.depth}) and more than that, "
                f"got {self.size}"
            )
        if self.steps is None and self.minutes is None:
            object.__setattr__(self, "minutes", MINUTES if self.scale == "laptop" else MINUTES_AT_SCALE)
        events = EVENTS if self.minutes is None else min(EVENTS, max(10, int(EVENTS_PER_MINUTE * self.minutes)))
        for name, default in (("events", events), ("image", IMAGE)):
            if self.data is None and getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.image is not None and self.image < self.size:
            raise ValueError(f"image must be at least the size of a crop, {self.size}, got {self.image}")

    def _refuse_useless(self) -> None:
        """Refuse options that would be ignored."""
        if self.scale == "laptop" and self.toy:
            raise ValueError("toy=true needs scale=gpu, got scale=laptop")
        if self.scale == "gpu":
            given = [f.name for f in fields(self) if f.name not in AT_SCALE and getattr(self, f.name) != f.default]
            if given:
                raise ValueError(f"scale=gpu accepts only out, minutes, seed and toy: leave out {given[0]}")
        self.refuse_without_file(self.data)
        if self.data is not None and self.image is not None:
            raise ValueError(f"image applies only to simulated events: leave it out with data={self.data}")
        if self.steps is not None and self.minutes is not None:
            raise ValueError(f"give minutes or steps, not both, got minutes={self.minutes} and steps={self.steps}")
