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


class Chromium:
    """A running browser. It keeps one tab per setting: a new one would load and compile MathJax again for every page,
    which took two thirds of the time."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.tabs: dict[tuple[str, bool], Any] = {}

    @contextmanager
    def visit(self, path: Path, setting: str = "desktop", scripts: bool = True) -> Iterator[Visit]:
        """Open one page without network, and wait until its formulas are typeset. What the visit left in the tab, such
        as the place of the mouse, is gone at the end."""
        tab = self.tabs.pop((setting, scripts), None) or self.new_tab(setting, scripts)
        seen = Visit(tab)
        listeners = {
            "request": lambda request: seen.requested.append(request.url),
            "requestfailed": lambda request: seen.failed.append(f"{request.url}: {request.failure}"),
            "console": lambda message: seen.complaints.append(message.text) if message.type == "error" else None,
            "pageerror": lambda error: seen.complaints.append(str(error)),
        }
        for event, listener in listeners.items():
            tab.on(event, listener)
        tab.goto(path.resolve().as_uri(), timeout=0)  # scenes in 3D are slow to draw on a busy machine
        if scripts:
            tab.evaluate("window.MathJax?.startup?.promise.then(() => true)")
        yield seen
        for event, listener in listeners.items():
            tab.remove_listener(event, listener)
        tab.emulate_media(media="null")
        tab.mouse.move(0, 0)
        if scripts:
            tab.evaluate("localStorage.clear(), sessionStorage.clear()")
        tab.goto("about:blank")  # ends the scripts of the page before the next visit listens
        self.tabs[setting, scripts] = tab  # not after an error, which may have left it in any state

    def new_tab(self, setting: str, scripts: bool) -> Any:
        """A tab in a context of its own, without a network."""
        look = SETTINGS[setting]
        context = self.browser.new_context(**look, java_script_enabled=scripts, offline=True, reduced_motion="reduce")
        return context.new_page()


@contextmanager
def open_chromium() -> Iterator[Chromium]:
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
        yield Chromium(browser)
        browser.close()


def check_head(text: str) -> None:
    """Check that the page has a language and a title, and that a phone shows it at its own width."""
    assert re.search(r'<html lang="en">', text)
    assert re.search(r"<title>[^<]{3,}</title>", text)
    assert re.search(r'<meta name="viewport" content="width=device-width', text)
    assert re.match(r"<!doctype html>", text, re.IGNORECASE)
    assert 'charset="utf-8"' in text
