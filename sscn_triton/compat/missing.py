"""Names that an engine has and its stand-in does not: one clear error, however the name is reached.

`names` makes the ``__getattr__`` of a module: ``module.name`` raises AttributeError, so that ``hasattr`` returns False.
An import, ``from module import name`` or ``import module.name``, raises ImportError with the same message: the finder
at the end of ``sys.meta_path`` is called only if no module of that name was found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

ENGINES = {
    "sparseconvnet": "SparseConvNet",
    "spconv": "spconv",
    "minkowski": "MinkowskiEngine",
    "torchsparse": "torchsparse",
}
IMPORTED_AS = {"minkowski": "MinkowskiEngine"}
"""The name under which an engine is imported, where it is not that of the stand-in."""
_STAND_INS = f"{__package__}."


class _Module(NamedTuple):
    instead: Mapping[str, str]
    again: Sequence[str]


_MODULES: dict[str, _Module] = {}


def names(module: str, instead: Mapping[str, str], again: Sequence[str] = ()) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module of a stand-in.

    Args:
        module: its ``__name__``.
        instead: alternatives for names that the engine's module has and this one does not.
        again: modules whose names this module has too, because the engine's imports them.
    """
    _MODULES[module] = _Module(instead, again)
    if not hasattr(sys.modules[module], "__path__"):
        sys.modules[module].__path__ = []  # so that imports from it reach the finder
    if _Finder not in sys.meta_path:
        sys.meta_path.append(_Finder)

    def look_up(name: str) -> Any:
        if not name.startswith("__"):
            for home in again:
                if hasattr(sys.modules[home], name):
                    return getattr(sys.modules[home], name)
        raise AttributeError(_message(module, name), name=name, obj=sys.modules[module])

    return look_up


class _Finder:
    """Refuses modules that a stand-in does not have."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        ours = _ours(fullname)
        if ours is None:
            return
        module, _, name = ours.rpartition(".")
        if module in _MODULES and not name.startswith("__"):
            raise ImportError(_message(module, name), name=fullname)


def _ours(fullname: str) -> str | None:
    """The name of a stand-in's module, whether it is imported under that name or under the engine's."""
    if fullname.startswith(_STAND_INS):
        engine, _, rest = fullname.removeprefix(_STAND_INS).partition(".")
        return fullname if engine in ENGINES and rest else None
    imported, _, rest = fullname.partition(".")
    for engine in ENGINES:
        stand_in = f"{_STAND_INS}{engine}"
        if rest and imported == IMPORTED_AS.get(engine, engine) and imported in sys.modules:
            return f"{stand_in}.{rest}" if sys.modules[imported] is sys.modules.get(stand_in) else None
    return None


def _message(module: str, name: str) -> str:
    engine, _, rest = f"{module}.{name}".removeprefix(_STAND_INS).partition(".")
    for home in (module, *_MODULES[module].again):
        if name in _MODULES[home].instead:
            return f"sscn_triton does not have {ENGINES[engine]}'s {rest}; use {_MODULES[home].instead[name]}"
    return f"sscn_triton's stand-in for {ENGINES[engine]} has no {rest}"


class Hinted:
    """A tensor of a stand-in: a missing attribute raises AttributeError, in one line that names the alternative if one
    is known."""

    INSTEAD: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:  # otherwise a type checker would accept any attribute

        def __getattr__(self, name: str) -> NoReturn:
            use = f": use {self.INSTEAD[name]}" if name in self.INSTEAD else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{use}", name=name, obj=self)
