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

PIXELS = np.array([(0, 0, 0), (0, 1, 1), (0, 2, 1), (0, 3, 1), (0, 3, 2)])
"""Five sites (image, x, y), which chapters 3 to 8 follow through a layer."""

VALUES = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
"""The features of `PIXELS`, one channel: row i has the value i + 1."""

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


def draw_pixels(
    ax: plt.Axes,
    numbers: np.ndarray,
    active: np.ndarray,
    title: str = "",
    wrong: np.ndarray | None = None,
) -> None:
    """Draw an image [X, Y] with a number in each pixel; its first axis points down.

    Active pixels are blue, others white with grey numbers, `wrong` ones red. A pixel
    whose number is nan stays blank.
    """
    wrong = np.zeros_like(active) if wrong is None else wrong
    for (x, y), number in np.ndenumerate(numbers):
        face = RED if wrong[x, y] else BLUE if active[x, y] else "white"
        ax.add_patch(plt.Rectangle((y - 0.5, x - 0.5), 1, 1, fc=face, ec="0.7"))
        if not np.isnan(number):
            ink = "0.3" if face == "white" else "white"
            ax.text(y, x, f"{number:g}", ha="center", va="center", color=ink)
    height, width = numbers.shape
    ax.set(xlim=(-0.55, width - 0.45), ylim=(height - 0.45, -0.55), aspect="equal")
    ax.set_title(title)
    ax.set_axis_off()


def draw_slots(ax: plt.Axes, keys: np.ndarray, filled: np.ndarray) -> None:
    """Draw a hash table; `filled` is each slot's distance from home, -1 if empty."""
    shades = (SKY, GREEN, ORANGE, RED)
    for slot, (key, steps) in enumerate(zip(keys, filled, strict=True)):
        face = shades[min(steps, 3)] if steps >= 0 else "white"
        ax.add_patch(plt.Rectangle((slot - 0.5, 0), 1, 1, fc=face, ec="0.6"))
        ax.text(slot, 0.5, str(key) if steps >= 0 else "", ha="center", va="center")
    ax.set(xlim=(-0.6, len(keys) - 0.4), ylim=(0, 1.05), yticks=[], xlabel="slot")
    ax.set_xticks(range(len(keys)))
    ax.spines[:].set_visible(False)
    for shade, label in zip(
        shades, ("at home", "1 further", "2", "3 or more"), strict=True
    ):
        ax.plot([], [], "s", color=shade, label=label)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4)


def ranked(labels: np.ndarray) -> np.ndarray:
    """Rank each label's group by size, [N]: 0 for the largest, at most 6."""
    _, group, size = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return np.minimum(rank[group], 6)
