"""The book builds without a warning, and its pages are whole and need no network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]


class Page(HTMLParser):
    """What a page loads, where it leads, and how it describes its pictures."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
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
        self.anchors.add(given.get("id", ""))


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[Path, Page]:
    """All pages of a fresh build; the build fails on any warning."""
    out = tmp_path_factory.mktemp("book").resolve()
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-d",
        str(out / "doctrees"),
        str(ROOT / "book"),
    ]
    built = subprocess.run([*command, str(out / "html")], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return {path: Page(path) for path in sorted((out / "html").rglob("*.html")) if "_static" not in path.parts}


def inside(address: str) -> bool:
    return not urlsplit(address).scheme and not address.startswith("//")


def test_every_chapter_is_there(pages):
    names = {path.stem for path in pages}
    assert {"index", "relation", "sscn_ref", "sscn_triton"} <= names
    assert {path.stem for path in (ROOT / "tutorial").glob("*.ipynb")} <= names


def test_a_page_loads_nothing_from_the_network(pages):
    assert [(path.name, link) for path, page in pages.items() for link in page.loaded if not inside(link)] == []
    scripts = [
        text for path in pages for text in re.findall(r"<script[^>]*>(.*?)</script>", path.read_text(), re.DOTALL)
    ]
    assert [text for text in scripts if "http" in text] == []


def test_what_a_page_loads_and_links_to_is_in_the_build(pages):
    for path, page in pages.items():
        for address in filter(inside, page.loaded + page.links):
            parts = urlsplit(address)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name} points to {address}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name} points to {address}"


def test_every_picture_is_described(pages):
    described = [len(text) for page in pages.values() for text in page.descriptions]
    assert described
    assert min(described) > 20


def test_the_book_brings_its_own_mathjax(pages):
    (html,) = {path.parent for path in pages if path.name == "index.html"}
    assert (html / "_static" / "tex-svg.js").stat().st_size > 1_000_000
