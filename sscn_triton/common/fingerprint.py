"""A number that changes with the sources of some modules, for compiled code that is kept between runs.

Numba keeps machine code as long as the file of the outermost function is unchanged, whatever happens to the files of
the functions inside. It does look at what a function closes over: so a kept function that calls into other files
closes over their fingerprint.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from types import ModuleType


def fingerprint(*modules: ModuleType) -> int:
    """A checksum over the files of the modules, in this order."""
    code = 0
    for module in modules:
        code = zlib.crc32(Path(str(module.__file__)).read_bytes(), code)
    return code
