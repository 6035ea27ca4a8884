"""A short form of the report's record, small enough to keep, from which the tables and figures can still be made."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "numba", "scipy", "scikit-learn", "lightning")


def summarise(record: dict[str, Any]) -> dict[str, Any]:
    """The record in the layout of report.json, without every step, every event's counts and every image's time.

    Paths in the options are reduced to their last name, and numbers to four digits. `versions` is added.
    """
    short = {key: value for key, value in record.items() if key != "files"}
    paths = {name: Path(given).name for name in ("out", "data") if (given := record["config"][name]) is not None}
    short["config"] = record["config"] | paths
    short["versions"] = {name: version(name) for name in PACKAGES} | {"sscn": record["machine"]["sscn"]}
    short["data"] = _without(record["data"], "train", "held_out")
    short["networks"] = [_network(network) for network in record["networks"]]
    short["michel"] = record["michel"] | {"network": _network(record["michel"]["network"])}
    return _rounded(short)


def _network(network: dict[str, Any]) -> dict[str, Any]:
    return _without(network, "steps", "forward_seconds")


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) and value == value else value
