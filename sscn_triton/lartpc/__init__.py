"""Liquid-argon events: what one is, where they come from, what they look like.

`Event` holds one; `open_events` gives those of a file, whatever its format, `create_events` writes them; `simulate`
makes them, `crop` cuts them, `project` shows what a wire plane sees, `relabel` chooses between the study's two
definitions of labels, and `collate` makes arrays of a batch; `statistics` measures them, and
`sscn_triton.lartpc.display` draws them.
"""

from .cropping import crop
from .entrance import create_events, open_events
from .event import CLASS_COLORS, CLASS_NAMES, PARTICLE_DTYPE, Event, Prediction, collate
from .files import ChangedEvents, EventFile, EventFileError, EventWriter
from .larcv import LarcvError, LarcvEvents, read_larcv
from .larcv3 import Larcv3Events
from .pilarnet import PilarnetEvents
from .pilarnet_writer import PilarnetWriter
from .projection import PLANES, project
from .relabelling import detached_to_shower, relabel
from .simulation import Recipe, simulate
from .statistics import statistics
from .tables import CsvEvents, CsvWriter, NpzEvents, NpzWriter

__all__ = [
    "CLASS_COLORS",
    "CLASS_NAMES",
    "PARTICLE_DTYPE",
    "PLANES",
    "ChangedEvents",
    "CsvEvents",
    "CsvWriter",
    "Event",
    "EventFile",
    "EventFileError",
    "EventWriter",
    "Larcv3Events",
    "LarcvError",
    "LarcvEvents",
    "NpzEvents",
    "NpzWriter",
    "PilarnetEvents",
    "PilarnetWriter",
    "Prediction",
    "Recipe",
    "collate",
    "create_events",
    "crop",
    "detached_to_shower",
    "open_events",
    "project",
    "read_larcv",
    "relabel",
    "simulate",
    "statistics",
]
