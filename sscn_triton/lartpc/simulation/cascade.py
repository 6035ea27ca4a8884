"""The loop that follows every particle of an event, compiled once and cached.

Only here does this package cache a compiled function that calls into other files: it closes over their
fingerprint (`sscn_triton.common.numba_cache.fingerprint` explains why).
"""

from __future__ import annotations

from collections.abc import Callable

from sscn_triton.common.numba_cache import fingerprint, njit
from sscn_triton.lartpc.simulation import argon, hadrons, random_stream, showers, tracks, world
from sscn_triton.lartpc.simulation.hadrons import decay_neutral_pion, follow_neutron
from sscn_triton.lartpc.simulation.showers import follow_electron, follow_photon
from sscn_triton.lartpc.simulation.tracks import follow_track
from sscn_triton.lartpc.simulation.world import NEUTRON, PHOTON, PION_ZERO, POSITRON, World


def _compiled(sources: int) -> Callable[[World], None]:
    @njit(cache=True)
    def follow(world: World) -> None:
        """Follow tracks, the newest first, until none is left or an array is full."""
        _ = sources
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
            elif kind == NEUTRON:
                follow_neutron(world, row, x, y, z, u, v, w, kinetic)
            else:
                follow_track(world, kind, row, x, y, z, u, v, w, kinetic)

    return follow


follow = _compiled(fingerprint(argon, hadrons, showers, random_stream, tracks, world))
