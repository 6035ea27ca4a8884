"""The loop that follows every particle of an event, compiled once and kept.

Numba keeps machine code as long as the file of the outermost function is unchanged, whatever happens to the files of
the functions inside. So here, and only here, a compiled function that calls into other files is kept, and what it
closes over, which Numba does look at, holds a fingerprint of those files.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

from numba import njit

from . import argon, showers, stream, tracks, world
from .showers import follow_electron, follow_photon
from .tracks import decay_neutral_pion, follow_track
from .world import PHOTON, PION_ZERO, POSITRON, World


def _compiled(fingerprint: int) -> Callable[[World], None]:
    @njit(cache=True)
    def follow(world: World) -> None:
        """Follows tracks, the newest first, until none is left or an array is full."""
        _ = fingerprint
        while world.counts[0] > 0 and world.counts[3] == 0:
            world.counts[0] -= 1
            track = world.tracks[world.counts[0]]
            kind, row, kinetic = track.kind, track.row, track.kinetic
            x, y, z, u, v, w = track.x, track.y, track.z, track.u, track.v, track.w
            if kind <= POSITRON:
                follow_electron(world, kind, row, x, y, z, u, v, w, kinetic)
            elif kind == PHOTON:
                follow_photon(world, row, x, y, z, u, v, w, kinetic)
            elif kind == PION_ZERO:
                decay_neutral_pion(world, row, x, y, z, u, v, w, kinetic)
            else:
                follow_track(world, kind, row, x, y, z, u, v, w, kinetic)

    return follow


def _fingerprint() -> int:
    code = 0
    for module in (argon, showers, stream, tracks, world):
        code = zlib.crc32(Path(str(module.__file__)).read_bytes(), code)
    return code


follow = _compiled(_fingerprint())
