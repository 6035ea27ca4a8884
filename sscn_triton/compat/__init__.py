"""Other engines' APIs on this library, so that code written for them runs here."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

__all__ = ["ENGINES", "install"]
ENGINES = ("sparseconvnet", "spconv")


def install(engine: str) -> ModuleType:
    """Make ``import <engine>`` find this library's module of that name, and return the module.

    Call it before anything imports the engine. Calling it again changes nothing.

    Raises:
        ValueError: there is no such module here.
        RuntimeError: the real package is already imported; its classes would be mixed with these.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    ours = f"{__name__}.{engine}"
    module = importlib.import_module(ours)
    if sys.modules.get(engine, module) is not module:
        raise RuntimeError(
            f"{engine} is already imported from {getattr(sys.modules[engine], '__file__', 'elsewhere')}: "
            f"call sscn_triton.compat.install({engine!r}) before anything imports it"
        )
    for name in [name for name in sys.modules if name == ours or name.startswith(f"{ours}.")]:
        sys.modules[engine + name[len(ours) :]] = sys.modules[name]
    return module
