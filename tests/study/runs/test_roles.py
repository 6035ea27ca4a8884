"""Networks of a report are selected by their role, wherever they are in its list."""

from __future__ import annotations

import typing
from typing import Any

from sscn_triton.study.runs.roles import COLORS, Role, networks, on_crops


def record() -> dict[str, Any]:
    kinds = [("study", False), ("sparse", True), ("sparse", False), ("matched", False)]
    return {"networks": [{"kind": kind, "whole": whole, "place": i} for i, (kind, whole) in enumerate(kinds)]}


def test_the_network_on_whole_events_is_told_from_that_of_its_kind_on_crops() -> None:
    places = {role: network["place"] for role, network in networks(record()).items()}
    assert places == {"study": 0, "whole": 1, "sparse": 2, "matched": 3}
    assert list(places) == ["study", "whole", "sparse", "matched"]  # the order of the report


def test_networks_on_crops_are_all_others() -> None:
    assert list(on_crops(record())) == ["study", "sparse", "matched"]


def test_every_role_of_the_comparison_has_its_own_colour() -> None:
    assert set(COLORS) == set(typing.get_args(Role)) - {"muons"}
    assert len(set(COLORS.values())) == len(COLORS)
