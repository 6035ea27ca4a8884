"""MinkowskiEngine's module names, under which code imports its parts."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

PACKAGE = __name__.rpartition(".")[0]
HOMES = (
    "settings", "tensor", "sparse_tensor", "tensor_field", "layers", "convolution", "pooling", "events",
    "normalization", "features", "sites", "operators", "functions", "products", "utils.quantization", "maps.keys",
    "maps.kernels", "maps.manager",
)  # fmt: skip
"""The modules in which the names of MinkowskiEngine's modules are looked up."""
FLAT = (
    "MinkowskiBroadcast", "MinkowskiChannelwiseConvolution", "MinkowskiCommon", "MinkowskiConvolution",
    "MinkowskiCoordinateManager", "MinkowskiInterpolation", "MinkowskiKernelGenerator", "MinkowskiNetwork",
    "MinkowskiNonlinearity", "MinkowskiNormalization", "MinkowskiOps", "MinkowskiPooling", "MinkowskiPruning",
    "MinkowskiSparseTensor", "MinkowskiTensor", "MinkowskiTensorField", "MinkowskiUnion", "sparse_matrix_functions",
)  # fmt: skip
"""MinkowskiEngine's modules, which it also finds without its own name in front; all see every name of `HOMES`."""
BACKEND = "MinkowskiEngineBackend"
RENAMED = {
    "quantize_np": "quantize",
    "quantize_th": "quantize",
    "quantize_label_np": "quantize_label",
    "quantize_label_th": "quantize_label",
}


class _Module(ModuleType):
    """A module of MinkowskiEngine's that finds its names in this package."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            for home in HOMES:
                module = sys.modules[f"{PACKAGE}.{home}"]
                if hasattr(module, RENAMED.get(name, name)):
                    return getattr(module, RENAMED.get(name, name))
        raise AttributeError(f"sscn_triton's stand-in for MinkowskiEngine has no {name}", name=name, obj=self)


def make_modules() -> dict[str, ModuleType]:
    """MinkowskiEngine's modules by name, which can be imported from this package."""
    made = {name: _Module(f"{PACKAGE}.{name}", "A module of MinkowskiEngine.") for name in FLAT}
    sys.modules.update({f"{PACKAGE}.{name}": module for name, module in made.items()})
    return dict(made)


def flat_modules() -> dict[str, ModuleType]:
    """The modules that MinkowskiEngine makes importable without its own name in front, and its compiled part."""
    found = {name: sys.modules[f"{PACKAGE}.{name}"] for name in FLAT}
    found["MinkowskiFunctional"] = sys.modules[f"{PACKAGE}.functional"]
    compiled, backend = _Module(f"{BACKEND}._C", "MinkowskiEngine's compiled part."), ModuleType(BACKEND)
    backend._C, backend.__path__ = compiled, []  # type: ignore[attr-defined]
    return {**found, BACKEND: backend, f"{BACKEND}._C": compiled}
