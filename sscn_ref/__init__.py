"""Submanifold sparse convolutions in NumPy and Numba: the reference, to be read.

Read `relation`, `sites`, `rulebook` and `convolution` in this order; each is a few screens long. `jit` holds
the same functions compiled with Numba.
"""

from sscn_ref.hashtable import HashTable, Probe, capacity_for
from sscn_ref.relation import output_shape, per_axis, submanifold_padding, taps, transposed_output_shape
from sscn_ref.rulebook import Rulebook, strided_rulebook, submanifold_rulebook, transposed_rulebook
from sscn_ref.sites import SiteIndex, key_box, pack_keys, reduce_duplicates, unique_sites, unpack_keys

__all__ = [
    "HashTable",
    "Probe",
    "Rulebook",
    "SiteIndex",
    "capacity_for",
    "key_box",
    "output_shape",
    "pack_keys",
    "per_axis",
    "reduce_duplicates",
    "strided_rulebook",
    "submanifold_padding",
    "submanifold_rulebook",
    "taps",
    "transposed_output_shape",
    "transposed_rulebook",
    "unique_sites",
    "unpack_keys",
]
