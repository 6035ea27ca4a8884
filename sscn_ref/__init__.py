"""Submanifold sparse convolutions in NumPy and Numba: a reference implementation, written to be read.

Read `relation`, `sites`, `rulebook` and `convolution` in this order; each is a few screens long. `jit` contains
the same functions compiled with Numba.
"""

from sscn_ref.convolution import convolve, convolve_backward
from sscn_ref.counting import Operations, count_dense_operations, count_operations
from sscn_ref.dense import active_growth, dense_convolution, grow, to_dense
from sscn_ref.hashtable import HashTable, Probe, capacity_for
from sscn_ref.normalization import batch_norm, batch_norm_backward, batch_statistics, normalize
from sscn_ref.pooling import (
    average_pool,
    average_pool_backward,
    global_pool,
    global_pool_backward,
    max_pool,
    max_pool_backward,
    sum_pool,
    unpool,
)
from sscn_ref.relation import output_shape, per_axis, submanifold_padding, taps, transposed_output_shape
from sscn_ref.rulebook import Rulebook, strided_rulebook, submanifold_rulebook, transposed_rulebook
from sscn_ref.sites import SiteIndex, key_box, pack_keys, reduce_duplicates, unique_sites, unpack_keys
from sscn_ref.uresnet import UResNet

__all__ = [
    "HashTable",
    "Operations",
    "Probe",
    "Rulebook",
    "SiteIndex",
    "UResNet",
    "active_growth",
    "average_pool",
    "average_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "capacity_for",
    "convolve",
    "convolve_backward",
    "count_dense_operations",
    "count_operations",
    "dense_convolution",
    "global_pool",
    "global_pool_backward",
    "grow",
    "key_box",
    "max_pool",
    "max_pool_backward",
    "normalize",
    "output_shape",
    "pack_keys",
    "per_axis",
    "reduce_duplicates",
    "strided_rulebook",
    "submanifold_padding",
    "submanifold_rulebook",
    "sum_pool",
    "taps",
    "to_dense",
    "transposed_output_shape",
    "transposed_rulebook",
    "unique_sites",
    "unpack_keys",
    "unpool",
]
