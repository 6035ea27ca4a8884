"""Liquid-argon events: what one is, where they come from, what they look like.

`Event` holds one; `open_events` gives those of a file, whatever its format, `create_events` writes them; `simulate`
makes them, `crop` cuts them, `project` shows what a wire plane sees, `relabel` chooses between the study's two
definitions of labels, and `collate` makes arrays of a batch; `statistics` measures them, and
`sscn_triton.lartpc.pictures.display` draws them.
"""

from sscn_triton.lartpc.files.base import ChangedEvents, EventFile, EventFileError, EventWriter
from sscn_triton.lartpc.files.larcv2 import LarcvError, LarcvEvents, read_larcv
from sscn_triton.lartpc.files.larcv3 import Larcv3Events
from sscn_triton.lartpc.files.npz_csv import CsvEvents, CsvWriter, NpzEvents, NpzWriter
from sscn_triton.lartpc.files.opening import create_events, open_events
from sscn_triton.lartpc.files.pilarnet import PilarnetEvents
from sscn_triton.lartpc.files.pilarnet_writer import PilarnetWriter
from sscn_triton.lartpc.numbers.statistics import statistics
from sscn_triton.lartpc.simulation.simulate import Recipe, simulate

from .cropping import crop
from .event import CLASS_COLORS, CLASS_NAMES, PARTICLE_DTYPE, Event, Prediction, collate
from .projection import PLANES, project
from .relabelling import detached_to_shower, relabel

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
