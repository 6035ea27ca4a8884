"""Events rich in Michel electrons: antimuons slow enough to stop, as every one of them then decays."""

from __future__ import annotations

from sscn_triton.lartpc import Recipe
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data.batches import Split, simulated, split_events

RECIPE = Recipe(
    vertex_particles=(1, 3),
    vertex_species=(-13, -13, 11),
    energy=(20.0, 150.0),
)
TIMES = 3
"""How many events there are for one of the study: they are small and made quickly."""


def stopping_muons(config: StudyConfig, split: Split) -> Split:
    """Images of half the study's edge with a vertex of one to three particles, two in three of them antimuons and the
    others electrons, whose showers look like a Michel electron but are not at the end of a muon; and the usual rain.

    With events of a file there is no choice: those of the study itself.
    """
    if config.data is not None:
        return split
    assert config.events is not None
    assert config.image is not None
    number, edge = TIMES * config.events, max(8, config.image // 2)
    events = simulated(config.seed, number, edge, RECIPE)
    source = f"{number} simulated events of {edge} px with stopping antimuons, seed {config.seed}"
    return split_events(events, config.seed, source)
