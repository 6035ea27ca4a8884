"""Run notebooks and keep their outputs: `python tutorial/execute.py [notebook ...]`.

Without names it runs all notebooks of the folder. The files do not contain the times of
cells or versions, which differ from run to run without meaning. The CPU time of each
chapter goes into times.json, for the book's page for teachers.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from sscn_triton.common.files import write_whole
from sscn_triton.common.machine import describe

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
    "1",
)


def execute(path: Path, times: Path = HERE / "times.json") -> None:
    """Execute one notebook in its own folder; write it only if every cell succeeds.

    The kernel computes with one thread. Its CPU time is written into `times`.
    """
    os.environ.update(ONE_THREAD)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=1200,  # ends a cell that hangs
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": path.parent}},
    )
    before = cpu_seconds_of_kernels()
    client.execute()
    seconds = cpu_seconds_of_kernels() - before
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    write_whole(path, nbformat.writes(notebook) + "\n", overwrite=True)
    record(times, path.stem, notebook, seconds)


def cpu_seconds_of_kernels() -> float:
    """CPU seconds of all kernels that have ended, the imports included."""
    spent = os.times()
    return spent.children_user + spent.children_system


def digest(notebook: Any) -> str:
    """A number that changes with the code of a notebook, but not with its texts."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n\n".join(code).encode()).hexdigest()[:16]


def record(times: Path, name: str, notebook: Any, seconds: float) -> None:
    """Write the CPU time of one chapter into a file; it keeps those of the others."""
    kept = json.loads(times.read_text(encoding="utf-8")) if times.exists() else {}
    kept[name] = {
        "cpu_seconds": round(seconds, 1),
        "code": digest(notebook),
        "processor": describe()["processor"],
    }
    text = json.dumps(dict(sorted(kept.items())), indent=1) + "\n"
    write_whole(times, text, overwrite=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(HERE.glob("*.ipynb")):
        print(name, flush=True)
        execute(Path(name).resolve())
