"""The scale of the study at full size, and the machine and folder it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sscn_triton.common import machine

Kind = Literal["events", "pace", "training", "costs", "scaling"]
"""What a piece of the study does."""


@dataclass(frozen=True)
class Scale:
    """All sizes of the study. parts: events per file, by size; changes: options that replace those of the packaged
    configurations."""

    name: str
    sizes: tuple[int, ...]
    configs: tuple[str, ...]
    dense: tuple[str, ...]
    parts: tuple[int, ...]
    events: int
    more_events: int
    held_out: int
    minutes: float
    pace_steps: int
    most_steps: int
    scaling_seconds: float
    changes: Mapping[str, Any]


REAL = Scale(
    name="full",
    sizes=(192, 512, 768),
    configs=("192", "512", "768"),
    dense=("dense-matched", "dense-study"),
    parts=(500, 200, 100),
    events=10_000,
    more_events=80_000,
    held_out=1_000,
    minutes=10.0,
    pace_steps=60,
    most_steps=100_000,
    scaling_seconds=300.0,
    changes={},
)
_SMALL = {"batch": 2, "accumulate": 1, "workers": 0, "precision": "fp32", "filters": 2, "depth": 2, "repetitions": 1}
TOY = replace(
    REAL,
    name="toy",
    sizes=(24, 32, 40),
    parts=(4, 4, 4),
    events=8,
    more_events=12,
    held_out=4,
    minutes=1.0,
    pace_steps=4,
    most_steps=6,
    scaling_seconds=1.0,
    changes={**_SMALL, "checkpoint_every": 2},
)


@dataclass(frozen=True)
class Setting:
    """The setting of one study: its scale, its folder, its seed and its device."""

    scale: Scale
    out: Path
    seed: int
    device: str

    @property
    def workers(self) -> int:
        return 1 if self.scale.name == "toy" else min(machine.cores(), 16)

    def events(self, size: int) -> Path:
        return self.out / f"events-{size}"

    def held_out(self, size: int) -> Path:
        return self.out / f"held-out-{size}"
