"""Names and types of the datasets in our PILArNet-M files; `pilarnet` documents their meaning."""

from __future__ import annotations

import numpy as np

from sscn_triton.lartpc.event import PARTICLE_DTYPE

ROWS = ("point", "cluster", "cluster_extra")
MORE_ROWS = ("cluster_extra_2", "interaction_extra")
"""The additional rows of version 3 "extra"."""
ROW_TYPES = {"point": np.float32, "cluster": np.int32, "cluster_extra": np.float32}
OWN = "sscn"
IMAGE = np.dtype(
    [("name", "S288"), ("voxel_size", np.float64), ("origin", np.float64, (3,)), ("spatial_shape", np.int32, (3,))]
)
EXTENT = np.dtype([("first", np.int64), ("count", np.int64)])
STORED_PARTICLE = np.dtype(
    [(name, "S32") if name == "process" else (name, *form) for name, *form in PARTICLE_DTYPE.descr]
)
