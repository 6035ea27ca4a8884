"""Settings that scripts read or set.

`SAVED_WEIGHT_LAYOUT` is read when weights are loaded. The others change how spconv computes, never what; nothing here
depends on them.
"""

from __future__ import annotations

import os

from sscn_triton.compat.missing import names

LAYOUTS = ("KRSC", "RSKC", "RSCK")  # K: channels out, RS: the kernel, C: channels in

SAVED_WEIGHT_LAYOUT = os.environ.get("SPCONV_SAVED_WEIGHT_LAYOUT", "")
if SAVED_WEIGHT_LAYOUT not in ("", *LAYOUTS):
    raise ValueError(f"SPCONV_SAVED_WEIGHT_LAYOUT must be {', '.join(LAYOUTS)} or unset, got {SAVED_WEIGHT_LAYOUT!r}")

ALL_WEIGHT_IS_KRSC = True
FILTER_HWIO = False
NDIM_DONT_CARE = 3
PACKAGE_NAME = "spconv"
SPCONV_ALLOW_TF32 = False
SPCONV_CPP_GEMM = True
SPCONV_CPP_INDICE_PAIRS = True
SPCONV_CPP_INDICE_PAIRS_IGEMM = False
SPCONV_DEBUG_WEIGHT = False
SPCONV_DIRECT_TABLE_HASH_SIZE_SCALE = 1.1
SPCONV_DO_SORT = True
SPCONV_FX_TRACE_MODE = False
SPCONV_INT8_DEBUG = False
SPCONV_USE_DIRECT_TABLE = True

_COMPILED = "nothing: spconv's code is not compiled here"
__getattr__ = names(
    __name__,
    {
        "AllocKeys": "PyTorch's tensors: there is no separate allocator",
        "BOOST_ROOT": _COMPILED,
        "DISABLE_JIT": _COMPILED,
        "EDITABLE_INSTALLED": _COMPILED,
        "NVRTCMode": _COMPILED,
        "PACKAGE_ROOT": "sscn_triton.__path__",
        "SPCONV_BWD_SPLITK": "sscn_triton.tune",
        "SPCONV_DEBUG_CPP_ONLY": _COMPILED,
        "SPCONV_DEBUG_NVRTC_KERNELS": _COMPILED,
        "SPCONV_DEBUG_SAVE_PATH": "torch.save",
        "SPCONV_NVRTC_MODE": _COMPILED,
    },
)
