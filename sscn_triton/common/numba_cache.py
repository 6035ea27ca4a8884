"""Numba's `njit(cache=True)` and `cfunc(cache=True)` for installations where Numba finds no place for its cache.

Numba stores compiled code beside the source or in the user's cache folder. If it may not write to either, it rejects
the function when it is decorated; if the folder is full or damaged, it raises when the function is called. Here the
function is compiled anyway, and one warning says what to do.

Where nothing is cached yet, the first call takes many seconds: on a terminal, one line says why.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba.core import sigutils, types
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc

_warned = False
_announced = False


def njit(cache: bool = False, **options: Any) -> Callable[..., Any]:
    """`numba.njit`; with ``cache``, a function whose machine code cannot be stored is compiled in every process.

    A function that compiled functions call is compiled once per type of its arguments. Numba compiles it again for each
    constant that a caller passes, which took a quarter of the first simulation.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(**options)(function)
        if compiled is function:  # NUMBA_DISABLE_JIT tells Numba not to compile
            return compiled
        call_template = compiled.get_call_template
        compiled.get_call_template = lambda args, kws: call_template(
            tuple(map(types.unliteral, args)), {name: types.unliteral(kind) for name, kind in kws.items()}
        )
        compile_one = compiled.compile

        def compile_alone(signature: Any) -> Any:
            with _without_collector():
                return compile_one(signature)

        compiled.compile = compile_alone
        return keep(compiled, function) if cache else compiled

    return decorate


def cfunc(signature: Any, cache: bool = False, **options: Any) -> Callable[..., Any]:
    """`numba.cfunc`; ``cache`` works as in `njit`."""

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = CFunc(function, sigutils.normalize_signature(signature), locals={}, options=options)
        if cache:
            keep(compiled, function)
        with _without_collector():
            compiled.compile()
        return compiled

    return decorate


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Pause Python's garbage collector, which takes a tenth of the time of a compilation: the compiler makes many
    objects that live until its end, and each full collection walks through those of PyTorch too."""
    paused = gc.isenabled()
    try:
        gc.disable()  # here, because Ctrl-C may arrive at its end
        yield
    finally:
        if paused:
            gc.enable()


def fingerprint(*modules: ModuleType) -> int:
    """A checksum over the files of the modules, in the given order, for compiled code that is cached between runs.

    Numba reuses cached machine code as long as the file of the outermost function is unchanged, even if the files of
    the functions that it calls change. It does check the values that a function closes over, so a cached function that
    calls into other files closes over their fingerprint.
    """
    code = 0
    for module in modules:
        code = zlib.crc32(Path(str(module.__file__)).read_bytes(), code)
    return code


def keep(compiled: Any, function: Callable[..., Any]) -> Any:
    """Make the compiled function cache its machine code, where Numba has a place for it, and return it."""
    try:
        compiled._cache = _Cache(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _warn(f"there is no folder for compiled code, neither beside {function.__code__.co_filename} nor at home")
    return compiled


class _Cache(FunctionCache):
    """Numba's cache of a function, where reading and writing may fail."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = None
        try:
            found = super().load_overload(sig, target_context)
        except Exception as error:  # what a damaged file raises depends on its first wrong byte
            self._failed("read", error)
        if found is None:
            _announce(self.cache_path)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self._failed("written", error)

    def _failed(self, what: str, error: Exception) -> None:
        """Delete the index, because it may name a file that was not written and whose place holds older code."""
        with contextlib.suppress(OSError):
            Path(self._cache_file._index_path).unlink()
        _warn(f"compiled code in {self.cache_path} cannot be {what} ({type(error).__name__}: {error})")


def _announce(folder: str) -> None:
    """Say on a terminal, once per process, that the wait is for the compiler."""
    global _announced
    if not _announced and sys.stderr.isatty():
        _announced = True
        print(f"sscn_triton: compiling once, machine code is kept in {folder}", file=sys.stderr, flush=True)


def _warn(what: str) -> None:
    """Warn once per process."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"{what}. sscn_triton compiles it again in every process, which makes first calls slow. "
            "Set the environment variable NUMBA_CACHE_DIR to a folder that can be written to.",
            RuntimeWarning,
            stacklevel=2,
        )
