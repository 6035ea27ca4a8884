"""The animation on the front page, as SVG: how ordinary and submanifold layers change the active set.

Sites and numbers are computed by `sscn_ref` from an event of the tutorials, seen along one axis; `front.css`
animates them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sscn_ref import SiteIndex, grow, submanifold_rulebook, unique_sites

LAYERS = 4
EVENT, VOXELS = 2, 3  # the event of tutorial/events.npz; voxels per square
CORNER, WIDTH, HEIGHT = (15, 17), 49, 30  # the part that is shown, in squares
START = (29, 14)  # the animation follows the influence of the site nearest to this
SQUARE = (0.9, 0.76, 0.62, 0.5, 0.4)  # edge of a square that becomes active at layer 0, 1, ...

Sites = NDArray[np.int32]


def track(events: Path) -> Sites:
    """Return the sites [N, 1 + 2] of the part that is shown."""
    with np.load(events) as arrays:
        squares = np.column_stack([arrays[f"{EVENT}/{axis}"] // VOXELS for axis in "xy"]) - np.array(CORNER)
    inside = ((squares >= 0) & (squares < (WIDTH, HEIGHT))).all(axis=1)
    sites, _ = unique_sites(np.insert(squares[inside], 0, 0, axis=1).astype(np.int32))
    return sites


def grown(sites: Sites) -> list[Sites]:
    """Return the sites that become active at layer 0, 1, ... of ordinary 3 x 3 convolutions."""
    new, active = [sites], sites
    for _ in range(LAYERS):
        larger = grow(active)
        new.append(larger[SiteIndex(active).find(larger) < 0])
        active = larger
    return new


def influenced(sites: Sites) -> list[Sites]:
    """Return the sites that the start first influences at layer 0, 1, ... of submanifold 3 x 3 convolutions."""
    rules = submanifold_rulebook(sites, 3).rules
    reached = np.zeros(len(sites), bool)
    reached[np.abs(sites[:, 1:] - np.array(START)).sum(axis=1).argmin()] = True
    new = [sites[reached]]
    for _ in range(LAYERS):
        further = reached.copy()
        for rows_in, rows_out in rules:
            further[rows_out] |= reached[rows_in]
        new.append(sites[further & ~reached])
        reached = further
    return new


def path(sites: Sites, edge: float, name: str) -> str:
    """Draw squares at the sites as one SVG path."""
    start = (1 - edge) / 2
    moves = "".join(f"M{x + start:.2f} {y + start:.2f}h{edge}v{edge}h-{edge}z" for _, x, y in sites.tolist())
    return f'<path class="{name}" d="{moves}"/>'


def panel(title: str, squares: list[str], counts: list[int], described: str) -> str:
    """Return one half of the picture with its number of active sites per layer."""
    margin = LAYERS + 1  # room for growth beyond the part shown
    box = f"{-margin} {-margin} {WIDTH + 2 * margin} {HEIGHT + 2 * margin}"
    numbers = "".join(
        f'<span class="only-{layer}">{layer} layer{"s" * (layer != 1)}: {count} active sites</span>'
        for layer, count in enumerate(counts)
    )
    svg = f'<svg viewBox="{box}" role="img" aria-label="{described}">{"".join(squares)}</svg>'
    return f'<div class="panel"><strong>{title}</strong>{svg}<p class="number" aria-hidden="true">{numbers}</p></div>'


def picture(events: Path) -> str:
    """Return the whole picture as HTML without a blank line."""
    sites = track(events)
    rings, reached = grown(sites), influenced(sites)
    counts = np.cumsum([len(ring) for ring in rings]).tolist()
    listed = ", ".join(map(str, counts[:-1])) + f" and {counts[-1]}"
    ordinary = [path(ring, SQUARE[k], f"ring at-{k}") for k, ring in enumerate(rings)]
    ordinary[0] = path(sites, SQUARE[0], "track")
    same = [path(sites, SQUARE[0], "track")]
    same += [path(ring, SQUARE[0], f"ring at-{k}") for k, ring in enumerate(reached)]
    far = sum(len(ring) for ring in reached)
    left = panel(
        "Ordinary convolutions", ordinary, counts,
        f"A track of {len(sites)} active squares. Each of {LAYERS} ordinary 3 x 3 convolutions adds a rim of new "
        f"active squares around it: {listed} squares.",
    )  # fmt: skip
    right = panel(
        "Submanifold convolutions", same, [len(sites)] * (LAYERS + 1),
        f"The same track. {LAYERS} submanifold 3 x 3 convolutions keep the number of squares at {len(sites)}; the "
        f"features of one square influence more squares along the track, {far} in the end.",
    )  # fmt: skip
    caption = (
        f"Part of a simulated event, seen along one axis. Left: {listed} sites are active after 0 to {LAYERS} layers. "
        f"Right: {len(sites)} sites are active after every layer; the squares that turn orange are those "
        f"that one site can have influenced, {far} in the end. Computed by <code>sscn_ref</code>."
    )
    stop = '<label class="stop"><input type="checkbox"> Pause</label>'
    return (
        f'<figure class="idea">{stop}<div class="panels">{left}{right}</div><figcaption>{caption}</figcaption></figure>'
    )
