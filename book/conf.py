"""Build the book by Sphinx with myst-nb and the book theme; `_config.yml` has its settings, `_toc.yml` its order."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import yaml

HERE = Path(__file__).parent
sys.path.append(str(HERE))
settings = yaml.safe_load((HERE / "_config.yml").read_text(encoding="utf-8"))

project = html_title = settings["title"]
author = settings["author"]
copyright = settings["copyright"]
release = metadata.version("sscn")

extensions = [  # Jupyter Book's extensions, then ours
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_external_toc",
    "sphinx_togglebutton",
    *settings["sphinx"]["extra_extensions"],
    *settings["sphinx"]["local_extensions"],
]
globals().update(settings["sphinx"]["config"])
