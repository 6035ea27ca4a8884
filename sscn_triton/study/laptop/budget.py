"""The division of a study's time between its parts."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sscn_triton.study.config import StudyConfig

SHARES = {"crops": 0.095, "whole": 0.09, "michel": 0.08, "scaling": 0.08, "questions": 0.25}
"""Shares of the total time: for each of the three trainings on crops, and for the other parts. The rest is for making
events, starting processes, judging and drawing."""

STEPPED = {"scaling": 20.0, "questions": 20.0}
"""Seconds for these parts if steps limit the study."""

JUDGING = 0.04
"""Share of the total time for judging one network; at least one image is judged."""

LEAST_QUESTIONS = 60.0
"""Minimum seconds for the open questions; with less time they are skipped. Their processes, single particles and
networks take this long before any of them has learnt."""

CLOSING = 0.04
"""Share of the total time for the work after the last part."""


@dataclass
class Budget:
    """Seconds for each part; time counts from the construction of this object."""

    config: StudyConfig
    began: float = field(default_factory=time.monotonic)

    def spent(self) -> float:
        return time.monotonic() - self.began

    def asks_questions(self) -> bool:
        """Whether the options enable the open questions and there is enough time for them."""
        minutes = self.config.minutes
        return self.config.questions and (minutes is None or SHARES["questions"] * 60 * minutes >= LEAST_QUESTIONS)

    def judging(self) -> float | None:
        """Seconds for judging one network; None (no limit) if steps limit the study."""
        return None if self.config.minutes is None else JUDGING * 60 * self.config.minutes

    def seconds(self, part: str, after: tuple[str, ...] = ()) -> float:
        """Seconds for a part, with the shares of the parts `after` it reserved. Without the questions, the other parts
        divide their share."""
        if self.config.minutes is None:
            return STEPPED.get(part, 0.0)
        total = 60 * self.config.minutes
        left = total * (1 - CLOSING) - self.spent() - total * sum(self._share(later) for later in after)
        return max(0.0, min(self._share(part) * total, left))

    def _share(self, part: str) -> float:
        if self.asks_questions():
            return SHARES[part]
        return 0.0 if part == "questions" else SHARES[part] / (1 - SHARES["questions"])
