"""Copy or generate what the book's build needs: the notebooks, the tables of results, MathJax."""

from __future__ import annotations

import re
import shutil
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

from sscn_book import (
    claims,
    commands,
    front,
    gpu,
    image_edge,
    long_training,
    michel_trials,
    migration,
    pretrained,
    recipe,
    running,
    scaling,
    speed,
    study,
    two_by_two,
)


def copy_notebooks(app: Sphinx, config: object) -> None:
    """Copy the notebooks into the book's folder and shorten their links to its pages, `../book/`, accordingly."""
    copies = Path(app.srcdir) / "tutorial"
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    for notebook in (Path(app.srcdir).parent / "tutorial").glob("*.ipynb"):
        text = notebook.read_text(encoding="utf-8").replace("](../book/", "](../")
        (copies / notebook.name).write_text(text, encoding="utf-8")


def draw(app: Sphinx, config: object) -> None:
    """Write the texts that pages include from `drawn/`, from files of measurements so that nobody types a number."""
    book = Path(app.srcdir)
    drawn = book / "drawn"
    drawn.mkdir(exist_ok=True)
    texts = {
        "front.html": front.picture(book.parent / "tutorial" / "events.npz"),
        "speed.txt": speed.tables(book / "results"),
        "commands.txt": commands.text(),
        "published.txt": study.published(),
        "claims.txt": claims.text(book / "results"),
        "long_training.txt": long_training.text(book / "results"),
        "model_cards.txt": pretrained.cards(),
        "conventions.txt": pretrained.by_conventions(book / "results"),
        "study.txt": study.text(book / "results"),
        "two_by_two.txt": two_by_two.text(book / "results"),
        "two_by_two_long.txt": two_by_two.long_text(book / "results"),
        "michel_trials.txt": michel_trials.text(book / "results"),
        "image_edge.txt": image_edge.text(book / "results"),
        "recipe.txt": recipe.text(book / "results"),
        "gpu_times.txt": gpu.times(book / "results"),
        "scaling.txt": scaling.growth(book / "results", drawn),
        "at_scale.txt": scaling.at_scale(book / "results", drawn),
        "spconv_networks.txt": migration.networks(book / "results"),
        "running.txt": running.text(book.parent / "tutorial"),
        "gpu_kernels.txt": gpu.kernels(book.parent / "tests/ops/triton/kernel_budget.json"),
        "gpu_loops.txt": gpu.loops(book.parent / "tests/ops/triton/kernel_budget.json"),
    }
    for name, text in texts.items():
        (drawn / name).write_text(text + "\n", encoding="utf-8")


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy MathJax 3.2.2 from the package that ships it: the one file that needs no fonts."""
    if error is None and app.builder.format == "html":
        name = app.config.mathjax_path
        script = next(path for path in metadata.files("sphinx-mathjax-offline") or [] if path.name == name)
        shutil.copy(str(script.locate()), Path(app.outdir) / "_static" / name)


def escape_shapes(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape the star of a shape such as [B, C, *S], which reStructuredText would read as emphasis."""
    shape = re.compile(r"(``.*?``|`[^`]*`)|\*(?=\w+[],])")
    lines[:] = [shape.sub(lambda found: found[1] or r"\*", line) for line in lines]


def leave_out_fields(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Skip the fields of named tuples, whose only docstring is Python's "Alias for field number 0"."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", copy_notebooks)
    app.connect("config-inited", draw)
    app.connect("autodoc-process-docstring", escape_shapes)
    app.connect("autodoc-skip-member", leave_out_fields)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True}
