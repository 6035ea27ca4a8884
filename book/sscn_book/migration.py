"""The table of the page on spconv, which compares public networks on this library and on spconv."""

from __future__ import annotations

import json
from pathlib import Path

from sscn_triton.common.table import Table

HEADER = ["network", "sites", "outputs", "gradients", "spconv to float64", "this library to float64"]


def networks(results: Path) -> str:
    """Return the table of the newest file written by `tests/compat/spconv/compare_networks.py`."""
    paths = sorted(results.glob("*-spconv-networks.json"))
    if not paths:
        return "**Public networks have not been compared yet.**"
    run = json.loads(paths[-1].read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    rows = []
    for name, one in run["networks"].items():
        outputs = max(one["outputs"], one["smooth_outputs"])
        gradients = max(one["gradients"], one["input_gradient"])
        numbers = (outputs, gradients, one["spconv_to_float64"], one["sscn_to_float64"])
        source = f"{name} ({one['repository']} {one['commit'][:7]})" if one["commit"] else name
        rows.append([source, str(one["sites"]), *(f"{number:.1e}" for number in numbers)])
    about = f"`results/{paths[-1].name}`: {run['date']}, {versions}, Python {run['python']}"
    return f"{about}\n\n{Table(HEADER, rows).markdown()}"
