"""Liquid-argon events: their data, their sources, their pictures.

`Event` holds one event; `open_events` reads those of a file of any format, `create_events` writes them; `simulate`
makes them, `crop` cuts them, `project` computes the image of a wire plane, `relabel` chooses between the study's two
definitions of labels, and `collate` makes the arrays of a batch; `statistics` measures events, and
`sscn_triton.lartpc.pictures.display` draws them.
"""

from sscn_triton.lartpc.files.base import ChangedEvents, EventFile, EventFileError, EventWriter
from sscn_triton.lartpc.files.larcv2 import LarcvError, LarcvEvents, read_larcv
from sscn_triton.lartpc.files.larcv3 import Larcv3Events
from sscn_triton.lartpc.files.npz_csv import CsvEvents, CsvWriter, NpzEvents, NpzWriter
from sscn_triton.lartpc.files.opening import create_events, open_events
from sscn_triton.lartpc.files.pilarnet import PilarnetEvents
from sscn_triton.lartpc.files.pilarnet_parquet import PilarnetParquetEvents
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
    "PilarnetParquetEvents",
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
