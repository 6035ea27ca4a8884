"""Pages in headless Chromium, as a reader opens them: from the file system, without a network."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOCAL = {"file", "data", "blob", "about"}
SETTINGS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
"""Ways to look at a page: arguments of playwright's `new_context`."""
HIGHEST = 16_000
"""Pixels of a picture's height. Chromium sometimes fails to draw a picture of 45,000, that of a long reference page."""
PICTURES = os.environ.get("SSCN_PICTURES")
"""Folder for pictures of the pages that the tests open; without it they draw none, which takes half of their time."""

LOOK = (Path(__file__).parent / "look.js").read_text()


@contextmanager
def open_chromium() -> Iterator[Any]:
    """A running browser of playwright. Without one, the test is skipped, or fails if SSCN_CHROMIUM is set."""
    named = os.environ.get("SSCN_CHROMIUM")
    program = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    missing = [] if program else [f"no {named or ' or '.join(NAMES)} is installed"]
    if not importlib.util.find_spec("playwright"):
        missing.append("playwright cannot be imported")
    if missing:
        give_up = pytest.fail if named else pytest.skip
        give_up(f"the book is not opened in Chromium: {', '.join(missing)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """An open page, its requests and its errors."""

    page: Any
    requested: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def outside(self) -> list[str]:
        """The requests that would have left the machine."""
        return [address for address in self.requested if urlsplit(address).scheme not in LOCAL]

    def look(self) -> dict[str, Any]:
        """The content of the page, found by the script look.js."""
        return self.page.evaluate(LOOK)

    def keep(self, setting: str, name: str) -> None:
        """Save a picture of the page in the folder PICTURES, if there is one: the upper HIGHEST pixels of the page."""
        if not PICTURES:
            return
        path = Path(PICTURES) / setting / (name.replace("/", "-") + ".png")
        width, height = self.page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, HIGHEST)}
        self.page.screenshot(path=path, full_page=True, clip=clip)


@contextmanager
def visit(browser: Any, path: Path, setting: str = "desktop", **more: Any) -> Iterator[Visit]:
    """Open one page in a separate context without network, and wait until its formulas are typeset."""
    context = browser.new_context(**SETTINGS[setting], offline=True, reduced_motion="reduce", **more)
    seen = Visit(context.new_page())
    page = seen.page
    page.on("request", lambda request: seen.requested.append(request.url))
    page.on("requestfailed", lambda request: seen.failed.append(f"{request.url}: {request.failure}"))
    page.on("console", lambda message: seen.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.goto(path.resolve().as_uri(), timeout=0)  # scenes in 3D are slow to draw on a busy machine
    if more.get("java_script_enabled", True):
        page.evaluate("window.MathJax?.startup?.promise.then(() => true)")
    yield seen
    context.close()


def check_head(text: str) -> None:
    """Check that the page has a language and a title, and that a phone shows it at its own width."""
    assert re.search(r'<html lang="en">', text)
    assert re.search(r"<title>[^<]{3,}</title>", text)
    assert re.search(r'<meta name="viewport" content="width=device-width', text)
    assert re.match(r"<!doctype html>", text, re.IGNORECASE)
    assert 'charset="utf-8"' in text
