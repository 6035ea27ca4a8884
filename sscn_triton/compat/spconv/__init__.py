"""spconv's API on this library: ``import sscn_triton.compat.spconv.pytorch as spconv``.

Arguments, parameter names and shapes, initial weights and conventions are those of spconv 2.3. As in spconv 1, the
layers are names of this package too.
"""

from __future__ import annotations

from typing import Any

from sscn_triton.compat.spconv import constants, core, pytorch, utils
from sscn_triton.compat.spconv.core import ConvAlgo

__version__ = "2.3.8"  # of the API
SPCONV_VERSION_NUMBERS = [int(number) for number in __version__.split(".")]


def __getattr__(name: str) -> Any:
    """A layer, as spconv 1 has it."""
    return getattr(pytorch, name)


__all__ = ["SPCONV_VERSION_NUMBERS", "ConvAlgo", "constants", "core", "pytorch", "utils"]
