"""The book: Sphinx with myst-nb and the book theme. No page fetches anything, so it opens from the file system."""

from __future__ import annotations

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
    app.connect("autodoc-process-docstring", escape_shapes)
    app.connect("build-finished", copy_mathjax)
