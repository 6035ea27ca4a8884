"""Register a class as a value for PyTorch, so that PyTorch finds the tensors inside.

PyTorch looks into the outputs of a module in two ways, and ignores a class that supports neither: as a dataclass
(`DistributedDataParallel` with ``find_unused_parameters``, mixed precision in FSDP2) and as a pytree (``static_graph``,
FSDP2's hooks, `torch.func`, `torch.export`, `torch.utils.checkpoint`). It does not synchronise what it does not find.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from torch.utils import _pytree

Class = TypeVar("Class", bound=type)


class _Rest:
    """All members of a value except its features. Two are equal if all members are, objects by identity."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Rest) or self.members.keys() != other.members.keys():
            return False
        return all(_same(mine, other.members[name]) for name, mine in self.members.items())

    def __hash__(self) -> int:
        return hash(frozenset(self.members))


def _same(one: Any, other: Any) -> bool:
    """Whether two members are the same: tuples, lists and numbers by value, everything else by identity."""
    if one is other:
        return True
    if isinstance(one, (tuple, list)):
        return type(one) is type(other) and len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, (int, float, str)) and one == other


def value(*names: str, features: str) -> Callable[[Class], Class]:
    """A decorator that registers a class, and every class derived from it, as a value.

    Args:
        names: the fields of the dataclass. The constructor takes them by name, and the instance has them as attributes.
        features: the member that holds the tensor; it is the only leaf of the pytree.
    """

    def decorate(cls: Class) -> Class:
        fields: Any = dataclasses.make_dataclass(cls.__name__, names, init=False, repr=False, eq=False)
        cls.__dataclass_fields__ = fields.__dataclass_fields__  # type: ignore[attr-defined]
        cls.__dataclass_params__ = fields.__dataclass_params__  # type: ignore[attr-defined]
        _register(cls, features)

        cls.__init_subclass__ = classmethod(  # type: ignore[assignment]
            lambda derived: _register(derived, features)
        )
        return cls

    return decorate


def _register(cls: Any, features: str) -> None:
    key = _pytree.GetAttrKey("features")

    def flatten(x: Any) -> tuple[list[Any], _Rest]:
        return [x.__dict__[features]], _Rest({k: v for k, v in x.__dict__.items() if k != features})

    def flatten_with_keys(x: Any) -> tuple[list[Any], _Rest]:
        (leaf,), rest = flatten(x)
        return [(key, leaf)], rest

    def unflatten(leaves: Any, rest: Any) -> Any:
        x = cls.__new__(cls)
        x.__dict__.update(rest.members)
        (x.__dict__[features],) = leaves
        return x

    _pytree.register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        flatten_with_keys_fn=flatten_with_keys,
    )
