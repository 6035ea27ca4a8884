"""Still pictures of the widgets' data, as PNG, for print and for pages without scripts."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sscn_book.widgets.data import Numbers, occupancy, orders, waste
from sscn_ref import dense_convolution, to_dense

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.85"
STEPS = ListedColormap(["#222832", "#86bbdf", "#f0c350", "#e69f00", "#d55e00", "#8c3b00", "white"])


def png(figure: Figure) -> bytes:
    """Return the figure as PNG bytes that are the same on every run."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def relation(numbers: Numbers) -> bytes:
    """Draw inputs, outputs and rules of the layer with stride 2, dilation 1 and padding 1."""
    s, d, p = 2, 1, 1
    layer = numbers["layers"][f"{s},{d},{p}"]
    figure = Figure(figsize=(7.4, 2.4), layout="constrained")
    axes = figure.subplots()
    shift = (numbers["extent"] - layer["size"]) / 2
    for u, total in layer["outputs"]:
        axes.add_patch(square(0, u + shift))
        axes.text(u + shift, 0, str(total), ha="center", va="center")
        for tap in range(len(numbers["weights"])):
            x = s * u + d * tap - p
            if 0 <= x < numbers["extent"] and numbers["values"][x]:
                axes.plot([u + shift, x], [0.45, 2.55], color=BLUE, lw=1)
    for x, value in enumerate(numbers["values"]):
        axes.add_patch(square(3, x) if value else Rectangle((x - 0.45, 2.55), 0.9, 0.9, fill=False, ec=GREY))
        axes.text(x, 3, str(value or ""), ha="center", va="center")
    axes.set(xlim=(-0.6, numbers["extent"] - 0.4), ylim=(3.6, -0.6), aspect="equal")
    axes.axis("off")
    return png(figure)


def numbers(numbers: Numbers) -> bytes:
    """Draw the results of one and of two layers: submanifold, dense, and dense with all other pixels set to zero."""
    sites = np.insert(np.array(numbers["pixels"]), 0, 0, axis=1)
    mask = to_dense(np.ones((len(sites), 1)), sites, numbers["shape"])
    weight = np.arange(1.0, 10).reshape(3, 3, 1, 1)
    sparse = dense = to_dense(np.array(numbers["values"], float)[:, np.newaxis], sites, numbers["shape"])
    figure = Figure(figsize=(7.4, 6), layout="constrained")
    for row, count in zip(figure.subplots(2, 3), ("one layer", "two layers"), strict=True):
        dense = dense_convolution(dense, weight, padding=1)
        sparse = dense_convolution(sparse, weight, padding=1) * mask
        names = ("submanifold", "dense", "dense with mask")
        for axes, name, image in zip(row, names, (sparse, dense, sparse), strict=True):
            squares(axes, numbers["pixels"], numbers["shape"], f"{count}, {name}", numbered=False)
            for x, y in numbers["everywhere"]:
                if name != "submanifold" or [x, y] in np.array(numbers["pixels"]).tolist():
                    axes.text(y, x, f"{image[0, x, y, 0]:g}", ha="center", va="center")
    return png(figure)


def dilation(numbers: Numbers) -> bytes:
    """Draw the active pixels after 0, 1, 3 and 5 ordinary convolutions; submanifold ones keep the first set."""
    figure = Figure(figsize=(7.4, 2.4), layout="constrained")
    step = np.full((numbers["extent"],) * 2, len(numbers["pixels"]))
    for number, pixels in enumerate(numbers["pixels"]):
        step[tuple(np.transpose(pixels))] = number
    for axes, last in zip(figure.subplots(1, 4), (0, 1, 3, 5), strict=True):
        shown = np.where(step <= last, step, len(numbers["pixels"]))
        axes.imshow(shown.T, origin="lower", cmap=STEPS, vmin=0, vmax=6)
        axes.set(title=f"after {last}: {numbers['sites'][last]:,}", xticks=[], yticks=[])
    return png(figure)


def squares(axes: Axes, sites: list[list[int]], shape: tuple[int, int], title: str, numbered: bool = True) -> None:
    """Draw sites as squares, with their row numbers if `numbered`; the first axis points down."""
    for row, (x, y) in enumerate(sites):
        axes.add_patch(square(x, y))
        if numbered:
            axes.text(y, x, str(row), ha="center", va="center")
    height, width = shape
    axes.set(xlim=(-0.6, width - 0.4), ylim=(height - 0.4, -0.6), aspect="equal", xticks=[], yticks=[], title=title)


def square(x: int, y: int) -> Rectangle:
    """Return the square of one site."""
    return Rectangle((y - 0.45, x - 0.45), 0.9, 0.9, color=GREY)


def rulebook(numbers: Numbers) -> bytes:
    """Draw the sites and rules of the submanifold convolution and of the strided one with kernel 3."""
    figure = Figure(figsize=(7.4, 6), layout="constrained")
    panels = figure.subplots(2, 3, width_ratios=(1, 0.6, 1.6))
    for (left, middle, right), book in zip(panels, numbers["books"], strict=False):
        squares(left, book["inputs"], (numbers["extent"],) * 2, "inputs")
        squares(middle, book["outputs"], (book["extent"],) * 2, "outputs")
        lines = [
            f"tap {tap}: " + "  ".join(f"{i}→{o}" for i, o in rules)
            for tap, rules in zip(map(tuple, book["taps"]), book["rules"], strict=True)
        ]
        right.text(0, 1, "\n".join(lines), va="top", fontsize="small", linespacing=1.5)
        right.set_title(book["name"], loc="left", fontsize="medium")
        right.axis("off")
    return png(figure)


def hashing(numbers: Numbers) -> bytes:
    """Draw the slots of the table in its initial state."""
    figure = Figure(figsize=(7.4, 1.2), layout="constrained")
    axes = figure.subplots()
    for slot, entry in enumerate(numbers["slots"]):
        axes.add_patch(square(0, slot))
        axes.text(slot, 0.75, str(slot), ha="center", va="center", color="0.4", fontsize="small")
        axes.text(slot, 0, "" if entry is None else entry[0], ha="center", va="center")
    axes.set(xlim=(-0.6, len(numbers["slots"]) - 0.4), ylim=(1.1, -0.6), aspect="equal")
    axes.axis("off")
    return png(figure)


def tiles(numbers: Numbers) -> bytes:
    """Draw tiles and taps, coloured by the share of rows that have the tap, before and after sorting."""
    masks, size = np.array(numbers["masks"]), numbers["sizes"][0]
    chosen = list(orders(masks).items())[::2]
    figure = Figure(figsize=(7.4, 4.2), layout="constrained")
    for axes, (name, order) in zip(figure.subplots(2, 1, sharex=True), chosen, strict=True):
        counts = occupancy(masks[order], size, numbers["taps"])
        share = np.where(counts, counts / size, np.nan)
        shown = axes.imshow(share.T, aspect="auto", cmap="Blues", vmin=-0.2, vmax=1, interpolation="nearest")
        axes.set(title=f"{name}: {waste(counts, size):.1%} of the rows computed are empty", ylabel="tap")
    axes.set_xlabel(f"tile of {size} rows")
    figure.colorbar(shown, ax=figure.axes, label="share of rows with the tap").ax.set_ylim(0, 1)
    return png(figure)
