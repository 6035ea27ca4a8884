"""Options as dataclasses: checked against their annotations, and read back from a file. Imports nothing heavy."""

from __future__ import annotations

import operator
import os
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Options = TypeVar("Options")

_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text"}


def check_types(options: Any) -> None:
    """Check every field of a dataclass of options against its annotation: int, float, bool, str, Literal, or one of
    these or None. Converts paths to text and integers of other libraries to Python's, so that a checkpoint can hold
    them.

    Raises ValueError with the field's name, the allowed values and the given one.
    """
    hints = get_type_hints(type(options))
    for field in fields(options):
        value = _converted(getattr(options, field.name), field.name, hints[field.name])
        object.__setattr__(options, field.name, value)


def _converted(value: Any, name: str, hint: Any) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] if type(None) in get_args(hint) else [hint]
    if value is None and kinds != [hint]:
        return None
    (kind,) = kinds
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices or isinstance(value, bool):
            raise ValueError(f"{name} must be {' or '.join(map(str, choices))}, got {value!r}")
        return value
    if kind is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    is_bool = isinstance(value, bool) or type(value).__name__ == "bool_"
    if kind is bool and is_bool:
        return bool(value)
    if kind is int and hasattr(value, "__index__") and not is_bool:
        return operator.index(value)
    if kind is float and hasattr(value, "__float__") and not is_bool:
        return value if isinstance(value, int) else float(value)
    if kind is str and isinstance(value, str):
        return value
    raise ValueError(f"{name} must be {_WORDS[kind]}, got {value!r}")


def read_options(kind: type[Options], values: Any, where: str) -> Options:
    """Options of a dataclass from the content of a file. A missing field has its default, because the file may have
    been written before the option existed.

    Raises ValueError, beginning with `where`, for an unknown option, a missing one without a default, and a value that
    is not allowed.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where}: must be options by name, got {type(values).__name__}")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ValueError(f"{where}: this version of sscn does not know the option {name!r} (={values[name]!r})")
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}: the option {name} is missing")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def check_least(options: Any, **least: float) -> None:
    """Raises ValueError for an option, of a dataclass or by name, that is below its bound; None passes."""
    for name, bound in least.items():
        value = options[name] if isinstance(options, dict) else getattr(options, name)
        if value is not None and value < bound:
            raise ValueError(f"{name} must be at least {bound}, got {value}")


def check_positive(options: Any, *names: str) -> None:
    """Raises ValueError for a field that is not positive and finite; None passes."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} must be positive and finite, got {value}")


def check_size(size: int) -> None:
    """Raises ValueError for an edge that no image of the simulation has."""
    if not 8 <= size <= 4096:
        raise ValueError(f"size must be 8 to 4096 voxels, got {size}")


def check_suffix(name: str, path: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless the option's path ends with one of the allowed suffixes, such as ".html"."""
    if Path(path).suffix.lower() not in allowed:
        raise ValueError(f"{name} must end with {' or '.join(allowed)}, got {path}")
