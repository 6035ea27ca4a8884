"""Events rich in Michel electrons: the antimuons are slow enough to stop, and every antimuon that stops decays."""

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
"""Number of events per event of the study; there can be more because they are small and quick to simulate."""


def stopping_muons(config: StudyConfig, split: Split) -> Split:
    """Simulated images of half the study's edge, with one vertex of one to three particles and the usual rain.

    Two in three particles are antimuons. The others are electrons, whose showers look like a Michel electron but are
    not at the end of a muon. If the study uses events of a file, these are returned instead.
    """
    if config.data is not None:
        return split
    assert config.events is not None
    assert config.image is not None
    number, edge = TIMES * config.events, max(8, config.image // 2)
    events = simulated(config.seed, number, edge, RECIPE)
    source = f"{number} simulated events of {edge} px with stopping antimuons, seed {config.seed}"
    return split_events(events, config.seed, source)
