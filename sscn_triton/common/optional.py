"""Packages that `pip install sscn` omits and its extras `study`, `parquet` and `hub` install."""

from __future__ import annotations

import importlib.util

OPTIONAL = {
    "h5py": "h5py",
    "huggingface_hub": "huggingface_hub",
    "jsonargparse": "jsonargparse",
    "lightning": "lightning",
    "matplotlib": "matplotlib",
    "plotly": "plotly",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tensorboard": "tensorboard",
    "tqdm": "tqdm",
    "uproot": "uproot",
    "yaml": "PyYAML",
}
"""The package of each imported module: those of the extras and their dependencies."""

OTHER_EXTRAS = {"huggingface_hub": "hub", "pyarrow": "parquet"}
"""The extra of each module that does not belong to `study`."""


def require(*modules: str) -> None:
    """Raise ModuleNotFoundError for the first of the modules that is not installed, with its package and how to
    install it."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(missing(module), name=module)


def missing(module: str) -> str:
    """The message for a module of `OPTIONAL` that is not installed."""
    return f"needs the package {OPTIONAL[module]}, which is not installed: {install(module)}"


def install(module: str) -> str:
    """The command that installs a module of `OPTIONAL`."""
    return f"pip install 'sscn[{OTHER_EXTRAS.get(module, 'study')}]'"


def is_optional(error: ModuleNotFoundError) -> bool:
    """Whether the missing module is one of `OPTIONAL`."""
    return (error.name or "").partition(".")[0] in OPTIONAL
