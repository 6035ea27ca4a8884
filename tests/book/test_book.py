"""The book builds without a warning, and its pages are complete and need no network."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from sscn_triton.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PUBLIC = (
    "sscn_ref",
    "sscn_triton",
    *(f"sscn_triton.{part}" for part in ("nn", "functional", "models", "lartpc", "compat")),
)
STUDY = (
    "training.metrics",
    "analysis.mistakes",
    "analysis.michel",
)


class Page(HTMLParser):
    """A page's resources, links and picture descriptions."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: Counter[str] = Counter()
        self.descriptions: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and "href" in given:
            self.loaded.append(given["href"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "img":
            self.descriptions.append(given.get("alt", ""))
        if "id" in given:
            self.anchors[given["id"]] += 1


@pytest.fixture(scope="module")
def pages(book) -> dict[Path, Page]:
    """All pages of the build."""
    return {path: Page(path) for path in sorted(book.resolve().rglob("*.html")) if "_static" not in path.parts}


def inside(address: str) -> bool:
    return not urlsplit(address).scheme and not address.startswith("//")


def test_every_chapter_exists(pages):
    names = {path.stem for path in pages}
    assert {"index", "relation", "sscn_ref", "sscn_triton"} <= names
    assert {path.stem for path in (ROOT / "tutorial").glob("*.ipynb")} <= names


def test_a_page_loads_nothing_from_the_network(pages):
    loaded = [(path.name, link) for path, page in pages.items() for link in page.loaded if not link.startswith("data:")]
    assert [(name, link) for name, link in loaded if not inside(link)] == []
    scripts = [
        text for path in pages for text in re.findall(r"<script[^>]*>(.*?)</script>", path.read_text(), re.DOTALL)
    ]
    assert [text for text in scripts if "http" in text] == []


def test_files_that_a_page_loads_or_links_to_are_in_the_build(pages):
    for path, page in pages.items():
        for address in filter(inside, page.loaded + page.links):
            parts = urlsplit(address)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name} points to {address}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name} points to {address}"


def test_no_page_has_a_duplicate_anchor(pages):
    assert [
        (path.name, name) for path, page in pages.items() for name, times in page.anchors.items() if times > 1
    ] == []


def test_the_table_of_contents_names_every_page_once():
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    listed = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    written = [path.relative_to(ROOT / "book") for path in (ROOT / "book").rglob("*.md") if "_build" not in path.parts]
    notebooks = [path.relative_to(ROOT) for path in (ROOT / "tutorial").glob("*.ipynb")]
    assert sorted(listed) == sorted(str(path.with_suffix("")) for path in written + notebooks)


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(pages, module):
    package = module.partition(".")[0]
    anchors = documented(pages)
    missing = []
    for name in importlib.import_module(module).__all__:
        objects = any(anchor.startswith(package) and anchor.endswith(f".{name}") for anchor in anchors)
        if not objects and f"module-{module}.{name}" not in anchors:
            missing.append(name)
    assert missing == []


def test_every_command_and_the_studys_functions_are_in_the_reference(pages):
    options = [command.options_class() for command in COMMANDS.values()]
    names = {f"{one.__module__}.{one.__qualname__}" for one in options}
    for part in STUDY:
        module = importlib.import_module(f"sscn_triton.study.{part}")
        own = [
            thing
            for _, thing in inspect.getmembers(module, callable)
            if getattr(thing, "__module__", "") == module.__name__
        ]
        names |= {f"{thing.__module__}.{thing.__qualname__}" for thing in own if not thing.__name__.startswith("_")}
    assert names - documented(pages) == set()


def documented(pages: dict[Path, Page]) -> set[str]:
    """The anchors of the reference pages."""
    return {anchor for path, page in pages.items() if path.parent.name == "reference" for anchor in page.anchors}


def test_every_picture_is_described(pages):
    described = [len(text) for page in pages.values() for text in page.descriptions]
    assert described
    assert min(described) > 20


def test_the_book_contains_mathjax(pages):
    (html,) = {path.parent for path in pages if path.name == "index.html"}
    assert (html / "_static" / "tex-svg.js").stat().st_size > 1_000_000
