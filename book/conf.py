"""The book: Sphinx with myst-nb and the book theme. No page fetches anything, so it opens from the file system."""

from __future__ import annotations

import json
import re
import shutil
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

project = "Submanifold sparse convolutions"
author = "The sscn developers"
copyright = "the sscn developers; licence BSD-3-Clause"
release = metadata.version("sscn")
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_togglebutton",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

# The notebooks are committed executed, and `pytest --nbval` proves their outputs: the book shows what is there, and
# runs nothing.
nb_execution_mode = "off"
nb_render_markdown_format = "gfm"
nb_code_prompt_show = "Show the solution"  # the only cells that are folded
nb_code_prompt_hide = "Hide the solution"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "none"
add_module_names = False
default_role = "literal"
smartquotes = False
toc_object_entries_show_parents = "hide"

mathjax_path = "tex-svg.js"

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = False  # the sources hold the exercises' solutions
html_show_sourcelink = False
html_domain_indices = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "footer_content_items": ["copyright.html"],
    "use_download_button": False,
    "use_fullscreen_button": False,
}


def copy_notebooks(app: Sphinx, config: object) -> None:
    """Bring the notebooks into the book's own folder, which is where their links to other pages are looked up."""
    copies = Path(app.srcdir) / "tutorial"
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    for notebook in (Path(app.srcdir).parent / "tutorial").glob("*.ipynb"):
        shutil.copy2(notebook, copies)


def draw_results(app: Sphinx, config: object) -> None:
    """Write the tables of the page on speed from the measurements in results/, so that no number is typed."""
    steps = ["| voxels | threads | engine | training step | times ours | CPU time, times ours | peak memory |"]
    steps.append("|---|---|---|---|---|---|---|")
    tables, notes = [steps], []
    for path in sorted((Path(app.srcdir) / "results").glob("*-cpu-*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        machine, threads = run["machine"], run["options"]["threads"]
        for name, engine in run["engines"].items():
            peak = engine.get("peak MB") or engine["resident before MB"] + engine["peak above MB"]
            times = f"{engine['wall ms']:,.0f} ms | {engine['wall ratio']:.2f} | {engine['cpu ratio']:.2f}"
            steps.append(f"| {run['voxels']:,} | {threads} | {name} | {times} | {peak:,.0f} MB |")
        if "total" in run:
            tables += details(run)
        notes.append(
            f"- `{path.name}`: {run['options']['data']}, {run['options']['copies']} times, {machine['processor']}, "
            f"{machine['cores']} cores, torch {machine['torch']}, load average {machine['load average'][0]} before, "
            f"{run['date'][:16]}."
        )
    text = "\n\n".join("\n".join(lines) for lines in [*tables, notes])
    (Path(app.srcdir) / "speed_tables.txt").write_text(text + "\n", encoding="utf-8")


def details(run: dict) -> list[list[str]]:
    """How the engines of a run begin in a fresh process, and where the library's step goes."""
    size = f"{run['voxels']:,} voxels, {run['options']['threads']} threads"
    starts = [
        f"| {size}: a fresh process | PyTorch | with the engine | first step | after import |",
        "|---|---|---|---|---|",
    ]
    for name, engine in run["engines"].items():
        first = f"{engine['import s']:.2f} s | {engine['first step s']:.2f} s"
        starts.append(f"| {name} | {engine['torch import s']:.2f} s | {first} | {engine['MB after import']:.0f} MB |")
        if "first step s, nothing kept" in engine:
            starts.append(f"| {name}, nothing compiled yet | | | {engine['first step s, nothing kept']:.1f} s | |")
    books, total = run["rulebooks"], run["total"]
    parts = [
        f"| {size}: our step | |",
        "|---|---|",
        f"| rulebooks | {books['total ms']:.1f} ms, {run['rulebooks share of step']:.1%} of the step |",
        f"| convolutions, with gradients | {total['forward ms'] + total['backward ms']:.0f} ms |",
        f"| their rate | {total['GFLOP/s']:.0f} GFLOP/s, {total['share of product rate']:.0%} of plain products |",
        f"| a large matrix product | {run['product GFLOP/s']:.0f} GFLOP/s |",
    ]
    return [starts, parts]


def draw_gpu(app: Sphinx, config: object) -> None:
    """Write the tables of the page on GPUs: times, where some were measured, and what the kernels compile to."""
    from sscn_triton.study.gpu_report import table

    results = sorted((Path(app.srcdir) / "results").glob("*gpu*.json"))
    lines = [] if results else ["**No GPU has been measured yet.**", ""]
    for path in results:
        run = json.loads(path.read_text(encoding="utf-8"))
        lines += [
            f"`{path.name}`: {run['device']['name']}, {run['versions']}, commit {run['commit']}",
            "",
            table(run),
            "",
        ]
    (Path(app.srcdir) / "gpu_times.txt").write_text("\n".join(lines), encoding="utf-8")
    budget = json.loads((Path(app.srcdir).parent / "tests" / "kernel_budget.json").read_text(encoding="utf-8"))
    targets = list(budget)
    rows = [f"| kernel | {' | '.join(targets)} |", "|---|" + "---|" * len(targets)]
    for kernel in budget[targets[0]]:
        found = [budget[target][kernel] for target in targets]
        cells = [f"{one['registers']}, {one['shared'] / 1024:.0f}, {one['matrix']}, {one['spills']}" for one in found]
        rows.append(f"| {kernel} | {' | '.join(cells)} |")
    (Path(app.srcdir) / "gpu_kernels.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put MathJax 3.2.2 beside the pages: the one file that needs no fonts, out of the package that ships it."""
    if error is None and app.builder.format == "html":
        script = next(path for path in metadata.files("sphinx-mathjax-offline") or [] if path.name == "tex-svg.js")
        shutil.copy(str(script.locate()), Path(app.outdir) / "_static" / mathjax_path)


def escape_shapes(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let the star of a shape such as [B, C, *S] be a star: reStructuredText would take it for emphasis."""
    shape = re.compile(r"(`[^`]*`)|\*(?=\w+[],])")
    lines[:] = [shape.sub(lambda found: found[1] or r"\*", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("config-inited", copy_notebooks)
    app.connect("config-inited", draw_results)
    app.connect("config-inited", draw_gpu)
    app.connect("autodoc-process-docstring", escape_shapes)
    app.connect("build-finished", copy_mathjax)
