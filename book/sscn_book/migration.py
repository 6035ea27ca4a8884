"""The table of the page on spconv, which compares public networks on this library and on spconv."""

from __future__ import annotations

from pathlib import Path

from sscn_book.records import newest
from sscn_triton.common.table import Table

HEADER = ["network", "sites", "outputs", "gradients", "spconv to float64", "this library to float64"]


def networks(results: Path) -> str:
    """Return the table of the newest file written by `tests/compat/spconv/compare_networks.py`."""
    found = newest(results, "*-spconv-networks.json")
    if found is None:
        return "**Public networks have not been compared yet.**"
    file, run = found
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    rows = []
    for name, one in run["networks"].items():
        outputs = max(one["outputs"], one["smooth_outputs"])
        gradients = max(one["gradients"], one["input_gradient"])
        numbers = (outputs, gradients, one["spconv_to_float64"], one["sscn_to_float64"])
        source = f"{name} ({one['repository']} {one['commit'][:7]})" if one["commit"] else name
        rows.append([source, str(one["sites"]), *(f"{number:.1e}" for number in numbers)])
    about = f"`results/{file}`: {run['date']}, {versions}, Python {run['python']}"
    return f"{about}\n\n{Table(HEADER, rows).markdown()}"
