"""APIs of other engines on this library, so that code written for them runs here."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

from sscn_triton.compat.missing import IMPORTED_AS

__all__ = ["ENGINES", "install"]
ENGINES = ("sparseconvnet", "spconv", "spine", "minkowski", "torchsparse")
"""The engines that can be installed."""
SPINE_BACKENDS, SPINE_VARIABLE = "spine.model.sparse.backends", "SPINE_SPARSE_BACKEND"


def install(engine: str) -> ModuleType:
    """Make ``import <engine>`` find this library's module of that name, and return the module.

    Call it before anything imports the engine. Calling it again changes nothing. For "minkowski", ``import
    MinkowskiEngine`` finds the module. For "spine", SPINE's own package is imported and computes with this
    library: with its backend "sscn", chosen by the environment variable SPINE_SPARSE_BACKEND, which is set.

    Raises:
        ValueError: for an engine without such a module.
        RuntimeError: if the real package, or another backend, is already imported; classes would be mixed with these.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    ours = f"{__name__}.{engine}"
    module = importlib.import_module(ours)
    if engine == "spine":
        _choose_backend(module)
        return module
    imported = IMPORTED_AS.get(engine, engine)
    if sys.modules.get(imported, module) is not module:
        raise RuntimeError(
            f"{imported} is already imported from {getattr(sys.modules[imported], '__file__', 'elsewhere')}: "
            f"call sscn_triton.compat.install({engine!r}) before anything imports it"
        )
    for name in [name for name in sys.modules if name == ours or name.startswith(f"{ours}.")]:
        sys.modules[imported + name[len(ours) :]] = sys.modules[name]
    if engine == "minkowski":
        sys.modules.update(module.flat_modules())
    return module


def _choose_backend(module: ModuleType) -> None:
    """Let SPINE find ``module`` as its backend "sscn", and choose it."""
    known = sys.modules.get("spine.model.sparse.backend")
    if known is not None and os.environ.get(SPINE_VARIABLE) != "sscn":
        raise RuntimeError(
            "spine.model.sparse is already imported with another backend: "
            "call sscn_triton.compat.install('spine') before anything imports it"
        )
    sys.modules[f"{SPINE_BACKENDS}.sscn"] = module
    os.environ[SPINE_VARIABLE] = "sscn"
