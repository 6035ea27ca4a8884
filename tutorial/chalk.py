"""Helpers that all notebooks share: showing source code and styling figures."""

from __future__ import annotations

import inspect
from textwrap import dedent

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import Markdown
from matplotlib.colors import ListedColormap

BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
"""The palette of Okabe and Ito, distinguishable with any common colour blindness."""

SIX_AND_REST = ListedColormap([BLUE, RED, GREEN, PINK, ORANGE, SKY, "#B0B0B0"])
"""Colours for `ranked` groups: 0 to 5, and grey for the rest."""

STYLE = {
    "axes.prop_cycle": cycler(color=[BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "legend.frameon": False,
}


def use_style() -> None:
    """Apply the notebooks' style to all later figures."""
    plt.rcParams.update(STYLE)


def show_source(*objects: object) -> Markdown:
    """Show the source code of functions or classes of the package, highlighted."""
    return Markdown(
        "\n".join(f"```python\n{inspect.getsource(item)}```" for item in objects)
    )


def show_part(item: object, first: str, last: str) -> Markdown:
    """Show part of the source code of an object.

    The part starts at the line that begins with `first` and ends at the next line that
    begins with `last`. Raises ValueError if there are no such lines.
    """
    lines = inspect.getsource(item).splitlines(keepends=True)
    starts = [line.strip().startswith(first) for line in lines]
    if True not in starts:
        raise ValueError(f"no line begins with {first!r}")
    start = starts.index(True)
    ends = [line.strip().startswith(last) for line in lines[start:]]
    if True not in ends:
        raise ValueError(f"no line after {first!r} begins with {last!r}")
    part = "".join(lines[start : start + ends.index(True) + 1])
    return Markdown(f"```python\n{dedent(part)}```")


def ranked(labels: np.ndarray) -> np.ndarray:
    """Rank each label's group by size, [N]: 0 for the largest, at most 6."""
    _, group, size = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return np.minimum(rank[group], 6)
