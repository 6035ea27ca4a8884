"""Numba's `njit(cache=True)` for installations in which Numba finds no place for its cache.

Numba keeps compiled code beside the source or in the user's cache folder. Where it may write to neither, it refuses the
function when it is decorated; where the folder is full or damaged, it raises when the function is called. Here the
function is compiled all the same, and one warning says what to do.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

_told = False


def njit(cache: bool = False, **options: Any) -> Callable[..., Any]:
    """`numba.njit`; with ``cache`` a function whose machine code cannot be kept is compiled in every process."""

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(**options)(function)
        return keep(compiled, function) if cache else compiled

    return decorate


def keep(compiled: Any, function: Callable[..., Any]) -> Any:
    """The compiled function, which from now on keeps its machine code where Numba has a place for it."""
    if compiled is function:  # Numba is told not to compile: NUMBA_DISABLE_JIT
        return compiled
    try:
        compiled._cache = _Cache(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _tell(
            f"there is no folder to keep compiled code in, neither beside {function.__code__.co_filename} nor at home"
        )
    return compiled


class _Cache(FunctionCache):
    """Numba's cache of a function, which may fail to read and to write."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # a damaged file raises whatever its first wrong byte means to pickle or LLVM
            self._failed("read", error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self._failed("written", error)

    def _failed(self, what: str, error: Exception) -> None:
        """Forget the index: it may name a file that was not written, in whose place older code lies."""
        with contextlib.suppress(OSError):
            Path(self._cache_file._index_path).unlink()
        _tell(f"compiled code in {self.cache_path} cannot be {what} ({type(error).__name__}: {error})")


def _tell(what: str) -> None:
    """One warning per process."""
    global _told
    if not _told:
        _told = True
        warnings.warn(
            f"{what}. {__package__} compiles it anew in every process, which makes first calls slow. "
            "Set the environment variable NUMBA_CACHE_DIR to a folder that can be written to.",
            RuntimeWarning,
            stacklevel=2,
        )
