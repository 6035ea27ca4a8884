"""What a package that speaks spconv's API has: names, and the parameters of its functions and methods.

``python tests/compat/spconv/spconv_api.py > tests/compat/spconv/spconv_api.json`` writes the table of the installed
spconv.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import sys
import types

import torch

MODULES = [
    "",
    "constants",
    "core",
    "cppconstants",
    "tools",
    "utils",
    "pytorch",
    *(
        f"pytorch.{name}"
        for name in ("constants", "conv", "core", "cppcore", "functional", "hash", "identity", "modules", "ops", "pool")
    ),
    "pytorch.tables",
    "pytorch.utils",
]
OPERATORS = ("__init__", "__add__", "__iadd__", "__radd__", "__getitem__", "__len__")
INSTANCES = {  # attributes that an object has whatever its class
    "pytorch.core.SparseConvTensor": "tensor",
    "pytorch.conv.SubMConv2d": "submanifold",
    "pytorch.conv.SparseInverseConv2d": "inverse",
    "pytorch.pool.SparseMaxPool2d": "pool",
    "pytorch.pool.SparseGlobalAvgPool": "global pool",
    "pytorch.modules.SparseSequential": "sequential",
}


def parameters(function):
    """Names and defaults in one line, or "" if Python cannot determine them."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ""
    return ", ".join(p.name if p.default is p.empty else f"{p.name}={default(p.default)}" for p in found)


def default(value):
    return repr(value) if value is None or isinstance(value, (bool, int, float, str)) else f"<{type(value).__name__}>"


def members(cls):
    """Methods with their parameters, and other attributes that the class itself has."""
    found = {}
    for name, value in vars(cls).items():
        if name.startswith("__") and name not in OPERATORS:
            continue
        function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        found[name] = parameters(function) if callable(function) else "value"
    return found


def instances(package):
    """An object of each kind, by its name in `INSTANCES`."""
    spconv = importlib.import_module(f"{package}.pytorch")
    indices = torch.tensor([[0, 0, 0], [0, 1, 1]], dtype=torch.int32)
    return {
        "tensor": spconv.SparseConvTensor(torch.ones(2, 1), indices, [2, 2], 1),
        "submanifold": spconv.SubMConv2d(1, 1, 3),
        "inverse": spconv.SparseInverseConv2d(1, 1, 3, "a"),
        "pool": spconv.SparseMaxPool2d(2),
        "global pool": spconv.SparseGlobalAvgPool(),
        "sequential": spconv.SparseSequential(),
    }


def api(package):
    """For each module and name: the members of a class, the parameters of a function, or "value". Each class appears
    once, in the module that defines it."""
    root = package.partition(".")[0]
    found = {}
    for short in MODULES:
        home = f"{package}.{short}".rstrip(".")
        module = importlib.import_module(home)
        entries = found[short] = {}
        for name, value in vars(module).items():
            foreign = not getattr(value, "__module__", package).startswith(root)
            if name.startswith("__") or foreign or isinstance(value, types.ModuleType):
                continue
            if inspect.isclass(value) and not issubclass(value, enum.Enum) and value.__module__ == home:
                entries[name] = members(value)
            elif inspect.isfunction(value) and value.__module__ == home:
                entries[name] = parameters(value)
            else:
                entries[name] = "value"
    made = instances(package)
    plain = vars(torch.nn.Module())
    for path, kind in INSTANCES.items():
        module, _, name = path.rpartition(".")
        found[module][name]["attributes"] = " ".join(sorted(vars(made[kind]).keys() - plain.keys()))
    return found


if __name__ == "__main__":
    package = sys.argv[1] if len(sys.argv) > 1 else "spconv"
    json.dump(api(package), sys.stdout, indent=1, sort_keys=True)
    print()
