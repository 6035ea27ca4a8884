"""The study of Michel electrons has small events of its own, or those of the file that it is given."""

from __future__ import annotations

import pytest

from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data.batches import Split
from sscn_triton.study.runs import stopping_muons as module
from sscn_triton.study.runs.stopping_muons import RECIPE, stopping_muons


def test_there_are_three_events_of_half_the_edge_for_each_of_the_study() -> None:
    config = StudyConfig(size=16, image=48, events=3, seed=4, depth=2)
    found = stopping_muons(config, Split([], [], ""))
    events = [*found.train, *found.held_out]
    assert 1 <= len(found.held_out) < len(found.train)
    assert len(events) == 9
    assert {event.spatial_shape for event in events} == {(24, 24, 24)}
    assert found.source == "9 simulated events of 24 px with stopping antimuons, seed 4"
    primaries = [row["pdg"] for event in events for row in event.particles if row["process"] == "primary"]
    assert primaries.count(-13) > len(events) / 2


def test_an_image_is_not_smaller_than_eight_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(module, "simulated", lambda *given: asked.append(given) or [])
    monkeypatch.setattr(module, "split_events", lambda *given: given)
    stopping_muons(StudyConfig(size=8, image=14, events=2, depth=2), Split([], [], ""))
    assert asked == [(0, 6, 8, RECIPE)]


def test_events_of_a_file_are_used_as_they_are() -> None:
    split = Split([], [], "a file")
    assert stopping_muons(StudyConfig(data="events.h5"), split) is split
