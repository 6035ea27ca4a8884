"""Settings that scripts read or set.

`SAVED_WEIGHT_LAYOUT` is read when weights are loaded. The others say how spconv computes, never what; nothing here
depends on them.
"""

from __future__ import annotations

import os

LAYOUTS = ("KRSC", "RSKC", "RSCK")  # K: channels out, RS: the kernel, C: channels in

SAVED_WEIGHT_LAYOUT = os.environ.get("SPCONV_SAVED_WEIGHT_LAYOUT", "")
if SAVED_WEIGHT_LAYOUT not in ("", *LAYOUTS):
    raise ValueError(f"SPCONV_SAVED_WEIGHT_LAYOUT must be {', '.join(LAYOUTS)} or unset, got {SAVED_WEIGHT_LAYOUT!r}")

SPCONV_ALLOW_TF32 = False
SPCONV_CPP_GEMM = True
SPCONV_CPP_INDICE_PAIRS = True
SPCONV_DO_SORT = True
SPCONV_USE_DIRECT_TABLE = True
