"""How a study divides its time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sscn_triton.study.config import StudyConfig

SHARES = {"crops": 0.095, "whole": 0.09, "michel": 0.08, "scaling": 0.08, "questions": 0.25}
"""Of all the time: for each of the three trainings on crops, and for the other parts. The rest goes into making events,
starting processes, judging and drawing."""

STEPPED = {"scaling": 20.0, "questions": 20.0}
"""Seconds for these where the study is limited by steps."""

JUDGING = 0.04
"""Of all the time, for judging one network; one image is judged at least."""

LEAST_QUESTIONS = 60.0
"""Seconds without which the open questions are not asked: their processes, single particles and networks take as long
before any of them has learnt."""

CLOSING = 0.04
"""Of all the time, for what comes after the last part."""


@dataclass
class Budget:
    """Seconds for each part, counted from when it is made."""

    config: StudyConfig
    began: float = field(default_factory=time.monotonic)

    def spent(self) -> float:
        return time.monotonic() - self.began

    def asks_questions(self) -> bool:
        """Whether the open questions are wanted and have the time they need."""
        minutes = self.config.minutes
        return self.config.questions and (minutes is None or SHARES["questions"] * 60 * minutes >= LEAST_QUESTIONS)

    def judging(self) -> float | None:
        """Seconds for judging one network; None, without a limit, where the study is limited by steps."""
        return None if self.config.minutes is None else JUDGING * 60 * self.config.minutes

    def seconds(self, part: str, after: tuple[str, ...] = ()) -> float:
        """For a part; what those after it want is kept back. Without the questions the others get their share."""
        if self.config.minutes is None:
            return STEPPED.get(part, 0.0)
        total = 60 * self.config.minutes
        left = total * (1 - CLOSING) - self.spent() - total * sum(self._share(later) for later in after)
        return max(0.0, min(self._share(part) * total, left))

    def _share(self, part: str) -> float:
        if self.asks_questions():
            return SHARES[part]
        return 0.0 if part == "questions" else SHARES[part] / (1 - SHARES["questions"])
