"""The runs of the comparison by role; records and figures select runs by these names."""

from __future__ import annotations

from typing import Any, Literal

Role = Literal["sparse", "matched", "study", "whole", "muons"]
"""The roles: the networks on crops (by kind), the sparse one on whole events, and the sparse one on stopping muons."""

COLORS: dict[Role, str] = {"sparse": "#0B6E99", "matched": "#C8553D", "study": "#8A5A9E", "whole": "#5B8E3E"}


def networks(record: dict[str, Any]) -> dict[Role, dict[str, Any]]:
    """The networks of report.json without the one on stopping muons, in the order of the report."""
    return {"whole" if network["whole"] else network["kind"]: network for network in record["networks"]}


def on_crops(record: dict[str, Any]) -> dict[Role, dict[str, Any]]:
    """The networks that learnt from crops."""
    return {role: network for role, network in networks(record).items() if not network["whole"]}
