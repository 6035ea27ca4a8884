"""spconv's API on this library: ``import sscn_triton.compat.spconv.pytorch as spconv``.

Arguments, parameter names and shapes, initial weights and conventions are those of spconv 2.3. As in spconv 1, the
layers can also be imported from this package. Missing names raise AttributeError or ImportError, with the alternative
if there is one.
"""

from __future__ import annotations

from typing import Any

from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv import constants, core, cppconstants, pytorch, tools, utils
from sscn_triton.compat.spconv.core import AlgoHint, ConvAlgo

__version__ = "2.3.8"  # of the API
SPCONV_VERSION_NUMBERS = [int(number) for number in __version__.split(".")]

_COMPILED = "sscn_triton, which compiles nothing when it is installed"
_missing = names(
    __name__,
    {
        "algo": "sscn_triton.tune, which measures kernels",
        "algocore": "sscn_triton.tune, which measures kernels",
        "benchmark": "`sscn bench`",
        "build": _COMPILED,
        "core_cc": _COMPILED,
        "csrc": _COMPILED,
        "debug_utils": "torch.save",
        "gencode": _COMPILED,
        "test_utils": "sscn_triton.SparseTensor.from_dense of a random image",
    },
)


def __getattr__(name: str) -> Any:
    """A layer, which spconv 1 has in this package."""
    return getattr(pytorch, name) if hasattr(pytorch, name) else _missing(name)


__all__ = [
    "SPCONV_VERSION_NUMBERS",
    "AlgoHint",
    "ConvAlgo",
    "constants",
    "core",
    "cppconstants",
    "pytorch",
    "tools",
    "utils",
]
