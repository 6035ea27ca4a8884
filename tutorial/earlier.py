"""Take your own answers of earlier chapters into another notebook."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

HERE = Path(__file__).parent


def own(chapter: str, function: str) -> Callable[..., Any]:
    """Return the function that your notebook of a chapter defines; save that notebook.

    The function sees NumPy as `np`, and those functions and imports of its notebook
    that it uses, but no variables. In a chapter of the book, as opposed to a student's
    notebook, it is the chapter's solution. Raises ValueError if the notebook does not
    define it, NotImplementedError if you have not written it yet.
    """
    path = HERE / os.environ.get("SSCN_ANSWERS", "") / f"{chapter}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    parts = [one for cell in cells if cell.cell_type == "code" for one in bound(cell)]
    if not any(name == function for name, _ in parts):
        raise ValueError(f"no cell of {path.name} defines {function}")
    kept = {
        name: node for name, node in parts if "NotImplementedError" not in names(node)
    }
    if function not in kept:
        raise NotImplementedError(f"write {function} in {path.name}, and save it")
    wanted, nodes = [function], []
    while wanted:
        node = kept.pop(wanted.pop(), None)
        if node is not None:
            nodes.append(node)
            wanted += sorted(names(node))
    scope: dict[str, Any] = {"np": np}
    code = ast.Module(nodes[::-1], [])
    exec(compile(code, f"<{function} of {path.name}>", "exec"), scope)
    answer: Callable[..., Any] = scope[function]
    return answer


def bound(cell: Any) -> list[tuple[str, ast.stmt]]:
    """The names that a cell defines by `def` and `import`, with these statements."""
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError:  # a command of IPython, or an answer that is not finished
        return []
    found: list[tuple[str, ast.stmt]] = []
    for node in statements:
        if isinstance(node, ast.FunctionDef):
            found.append((node.name, node))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for one in node.names:
                found.append((one.asname or one.name.split(".")[0], node))
    return found


def names(node: ast.AST) -> set[str]:
    """The names that a statement uses."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
