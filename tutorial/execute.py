"""Run notebooks and keep their outputs: `python tutorial/execute.py [notebook ...]`.

Without names it runs all notebooks of the folder. The files do not contain the times of
cells or versions, which differ from run to run without meaning.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from sscn_triton.common.files import write_whole

HERE = Path(__file__).parent


def execute(path: Path) -> None:
    """Execute one notebook in its own folder; write it only if every cell succeeds."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": path.parent}},
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    write_whole(path, nbformat.writes(notebook) + "\n", overwrite=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(HERE.glob("*.ipynb")):
        print(name, flush=True)
        execute(Path(name).resolve())
