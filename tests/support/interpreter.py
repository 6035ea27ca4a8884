"""Triton's interpreter without work that it repeats for every call and that takes almost half of its time.

For each launch, and for each call of a function inside a kernel, the interpreter replaces the functions of
`triton.language` by its own. Here it replaces them once, and they stay replaced, because the process interprets all its
kernels.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any


def replace_the_language_once() -> None:
    """Change the interpreter if it is imported and has the functions that are changed, which are not public."""
    interpreter: Any = sys.modules.get("triton.runtime.interpreter")
    names = ("_patch_lang", "_get_np_dtype", "_LangPatchScope")
    if all(hasattr(interpreter, name) for name in names) and not hasattr(interpreter._patch_lang, "__wrapped__"):
        interpreter._patch_lang = once_per_language(interpreter._patch_lang, interpreter._LangPatchScope)
        interpreter._get_np_dtype = once_per_type(interpreter._get_np_dtype)


def once_per_language(patch: Callable[[Any], Any], scope: Callable[[], Any]) -> Callable[[Any], Any]:
    """`patch`, but only for functions that use a module of the language that no function before them used.

    The interpreter restores what the returned scope holds; it gets an empty one."""
    from triton import language

    modules = language, language.core
    used: dict[Any, set[str]] = {}
    done: set[str] = set()

    @functools.wraps(patch)
    def patch_once(function: Any) -> Any:
        if function not in used:
            values = function.__globals__.values()
            used[function] = {module.__name__ for module in modules if any(value is module for value in values)}
        if not used[function] <= done:
            patch(function)
            done.update(used[function])
        return scope()

    return patch_once


def once_per_type(find: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`find`, NumPy's type for one of Triton's, which builds a table of all types in every call."""
    known: dict[str, Any] = {}

    @functools.wraps(find)
    def find_once(kind: Any) -> Any:
        name = kind.scalar.name
        if name not in known:
            known[name] = find(kind)
        return known[name]

    return find_once
