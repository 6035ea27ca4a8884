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

    Sparse and dense network have the same layers and start from the same weights; they see the same crops in the same
    order, for the same time, and so does the larger dense network of 2018. The sparse one is also trained on whole
    events, and on stopping muons for their Michel electrons. The report (one HTML page that needs no network, its
    figures as PNG, and every number as JSON) shows nonzero accuracy against iterations and wall time, accuracy per
    class, time per step, peak memory and how they grow, mistakes, Michel electrons, what the study left open, each as a
    small experiment, and the numbers of the 2018 study beside them.

    With scale=gpu it is the study at its full size on one GPU instead, 192, 512 and 768 px, in pieces: every call goes
    on for these minutes and says what is left. Of the other options it takes out, minutes (7.5 if left out) and seed.

    Args:
        data: file with the events to use, of any format that `sscn inspect` reads, or a folder of such files; left out,
            events are simulated.
        out: new folder for the report, study if left out. With scale=gpu, for events, trainings and the dated JSON
            file; study-gpu if left out.
        scale: laptop for about ten minutes on two cores, gpu for the full size.
        toy: with scale=gpu, the same pieces at toy size on the CPU, which shows that they run and nothing more.
        size: edge of the crops in voxels; a multiple of 2 ** depth, 32 at the default depth, and more than that, as the
            dense network of 2018 needs it.
        minutes: time the whole study may take; 10 if left out. Every network makes one step and judges one image at
            least, however few the minutes are, and the open questions need four minutes or more, else they are left
            out.
        steps: train each network for this many steps, instead of by time: such a study can be repeated exactly.
        seed: of the simulated events, the split, the crops and the first weights.
        events: number of simulated events, 200 if left out, or 20 a minute of a study of less than ten; of a file how
            many to take, the first ones, all if left out.
        image: edge of a simulated event in voxels, 192 if left out; not with a file.
        batch: crops per training step; whole events go one by one.
        filters: channels of the first level; level i has i times as many.
        depth: number of levels.
        learning_rate: of Adam at the height of the one-cycle schedule.
        questions: whether to ask what the 2018 study left open (a quarter of the time): accuracy at equal time and
            memory, number of events, receptive field, weights for Michel electrons, single particles.
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
            raise ValueError("toy goes with scale=gpu; leave it out")
        if self.scale == "gpu":
            given = [f.name for f in fields(self) if f.name not in AT_SCALE and getattr(self, f.name) != f.default]
            if given:
                raise ValueError(f"scale=gpu takes out, minutes, seed and toy, not {given[0]}: leave it out")
        self.refuse_without_file(self.data)
        if self.data is not None and self.image is not None:
            raise ValueError(f"image is for simulated events; with data={self.data} leave it out")
        if self.steps is not None and self.minutes is not None:
            raise ValueError(f"give minutes or steps, not both; got {self.minutes} and {self.steps}")
