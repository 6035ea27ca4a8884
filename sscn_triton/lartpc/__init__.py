"""Liquid-argon events: what one is, where they come from, what they look like.

`Event` holds one; `read_larcv` reads them from files, `simulate` makes them, `crop` cuts them and `collate` makes
arrays of a batch; `statistics` measures them, and `sscn_triton.lartpc.display` draws them.
"""

from .cropping import crop
from .event import CLASS_COLORS, CLASS_NAMES, PARTICLE_DTYPE, Event, collate
from .larcv import LarcvError, read_larcv
from .simulation import Recipe, simulate
from .statistics import statistics

__all__ = [
    "CLASS_COLORS",
    "CLASS_NAMES",
    "PARTICLE_DTYPE",
    "Event",
    "LarcvError",
    "Recipe",
    "collate",
    "crop",
    "read_larcv",
    "simulate",
    "statistics",
]
