"""Chromium opens every page of the book as a reader would, on a wide screen.

`make test-deep` also opens them on a phone and in dark mode, and saves pictures of all pages in build/book.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.support.browser import SETTINGS, open_chromium


class Seen(NamedTuple):
    """The findings on one page."""

    outside: list[str]
    failed: list[str]
    complaints: list[str]
    found: dict[str, Any]


LATER = [pytest.param(setting, marks=pytest.mark.deep) for setting in ("dark", "phone")]


@pytest.fixture(scope="module", params=["desktop", *LATER])
def setting(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def pages(book, setting) -> dict[str, Seen]:
    """All pages by name, each visited once."""
    seen = {}
    with open_chromium() as browser:
        for path in sorted(book.rglob("*.html")):
            name = path.relative_to(book).with_suffix("").as_posix()
            if not name.startswith("_static"):
                with browser.visit(path, setting) as page:
                    page.keep(setting, name)
                    seen[name] = Seen(page.outside(), page.failed, page.complaints, page.look())
    return seen


def found(pages: dict[str, Seen], what: str) -> dict[str, Any]:
    """The pages that have such findings, with the findings."""
    return {name: page.found[what] for name, page in pages.items() if page.found[what]}


def test_the_pages_are_those_of_the_book(pages):
    assert {"index", "relation", "glossary", "tutorial/03_dilation", "reference/sscn_ref"} <= set(pages)
    assert [name for name, page in pages.items() if len(page.found["title"]) < 5] == []


def test_no_request_leaves_the_page_and_none_fails(pages):
    assert {name: page.outside for name, page in pages.items() if page.outside} == {}
    assert {name: page.failed for name, page in pages.items() if page.failed} == {}


def test_no_page_logs_a_complaint(pages):
    assert {name: page.complaints for name, page in pages.items() if page.complaints} == {}


def test_every_formula_is_typeset(pages):
    assert len(found(pages, "formulas")) > 10
    assert found(pages, "unset") == {}
    assert found(pages, "wrong") == {}


def test_every_picture_exists_and_is_described(pages):
    assert len(found(pages, "images")) > 10
    assert found(pages, "blank") == {}
    assert found(pages, "undescribed") == {}


def test_nothing_is_wider_than_the_page(pages, setting):
    width = SETTINGS[setting]["viewport"]["width"]
    assert {name: page.found["width"] for name, page in pages.items() if page.found["width"] > width} == {}
    assert found(pages, "wide") == {}


def test_on_a_wide_screen_no_formula_or_code_needs_horizontal_scrolling(pages, setting):
    if setting != "phone":
        assert found(pages, "cut") == {}


def test_shadows_say_that_a_wide_table_scrolls(pages):
    assert sum(found(pages, "shadows").values()) > 20
    assert found(pages, "covering") == {}


def test_text_contrasts_with_its_background(pages, setting):
    assert {page.found["theme"] for page in pages.values()} == {"dark" if setting == "dark" else "light"}
    assert found(pages, "faint") == {}
