"""Every page that a command writes has a title, declares its language, fits a phone, and opens without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.cli import main
from sscn_triton.common.page import heading, page, paragraph, picture
from sscn_triton.common.table import Table
from sscn_triton.lartpc import create_events, project, simulate
from sscn_triton.lartpc.event import Prediction
from tests.support.browser import Chromium, check_head, open_chromium

PAGES = ("labelled", "difference", "energy", "plane", "plain", "inspected", "statistics", "report")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of all commands, for two small events with a prediction in which every fifth voxel is wrong."""
    folder = tmp_path_factory.mktemp("pages")
    events = [simulate(1, index, 48) for index in range(2)]
    labelled, plane, plain = folder / "labelled.npz", folder / "plane.npz", folder / "plain.npz"
    with create_events(labelled) as file, create_events(plane) as flat, create_events(plain) as bare:
        for event in events:
            guess = np.where(np.arange(len(event)) % 5 == 0, (event.labels + 1) % 5, event.labels)
            file.append(event.replace(prediction=Prediction(guess, 0.9 * np.eye(5, dtype=np.float32)[guess])))
            flat.append(project(event, "u"))
            bare.append(event)
    for arguments in (
        ["display", str(labelled), "--out", "labelled.html"],
        ["display", str(labelled), "--out", "difference.html", "--color", "difference"],
        ["display", str(labelled), "--out", "energy.html", "--color", "energy"],
        ["display", str(plane), "--out", "plane.html"],
        ["display", str(plain), "--out", "plain.html"],
        ["inspect", str(labelled), "--out", "inspected.html"],
        ["statistics", str(plain), "--out", "statistics.html", "--events", "2", "--size", "32"],
    ):
        out = arguments.index("--out") + 1
        with pytest.raises(SystemExit) as done:
            main([*arguments[:out], str(folder / arguments[out]), *arguments[out + 1 :]])
        assert done.value.code == 0
    wide = Table([f"column {i}" for i in range(12)], [[f"{i} numbers" for i in range(12)]] * 3).html()
    parts = ["<h1>A study</h1>", paragraph("What was found.", "lead"), heading("Costs"), wide]
    (folder / "report.html").write_text(page("A study", parts))
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_language_title_and_viewport(folder: Path, name: str) -> None:
    text = (folder / f"{name}.html").read_text()
    check_head(text)
    assert 'src="http' not in text


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with open_chromium() as browser:
        yield browser


QUICK = {("labelled", "desktop"), *((name, "phone") for name in ("labelled", "plane", *PAGES[5:]))}


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        pytest.param(name, setting, marks=() if (name, setting) in QUICK else pytest.mark.deep)
        for name in PAGES
        for setting in ("phone", "desktop")
    ],
)
def test_pages_fit_into_the_window(chromium: Chromium, folder: Path, name: str, setting: str) -> None:
    with chromium.visit(folder / f"{name}.html", setting) as seen:
        there = seen.look()
        width = seen.page.viewport_size["width"]
        boxes = seen.page.evaluate(PARTS)
    assert there["width"] <= width
    assert there["wide"] == []
    assert seen.complaints == []
    assert seen.outside() == []
    if name in PAGES[:5]:
        assert len(boxes["panels"]) == len(boxes["headings"]) or not boxes["headings"]
        assert len(boxes["panels"]) == (1 if name in ("difference", "energy") else 2)
        for left, right, wide, high in boxes["panels"]:
            assert left >= 0
            assert right <= width + 1
            assert wide >= 300
            assert high >= 150
        for left, right in boxes["headings"] + boxes["legend"]:
            assert left >= 0
            assert right <= width + 1


LEAVING = """<!doctype html><title>leaving</title><p style="height: 9000px">text
<img src="missing.png"><script>localStorage.kept = 1; console.error("wrong"); setInterval(() => console.error("late"));
undefinedFunction()</script>"""
STAYING = """<!doctype html><title>staying</title><script>document.title = JSON.stringify([
  localStorage.length, matchMedia("print").matches])</script>"""


def test_a_visit_sees_its_own_page_and_nothing_of_the_visit_before(chromium: Chromium, tmp_path: Path) -> None:
    leaving, staying = tmp_path / "leaving.html", tmp_path / "staying.html"
    leaving.write_text(LEAVING)
    staying.write_text(STAYING)
    for _ in range(2):  # the second time, no place of scrolling is restored
        with chromium.visit(leaving) as seen:
            assert seen.outside() == []
            assert len(seen.failed) == 1
            assert "wrong" in seen.complaints
            assert any("undefinedFunction" in text for text in seen.complaints)
            assert seen.page.evaluate("scrollY") == 0
            seen.page.evaluate("scrollTo(0, 5000)")
            seen.page.emulate_media(media="print")
    with chromium.visit(staying) as after:
        assert after.page.title() == "[0,false]"
    assert (after.failed, after.complaints) == ([], [])
    for one, names in ((seen, ["leaving.html", "missing.png"]), (after, ["staying.html"])):
        assert [path.rpartition("/")[2] for path in one.requested] == names


PARTS = """() => {
  const box = (element) => element.getBoundingClientRect();
  const scenes = [...document.querySelectorAll("#event [id^=scene]")];
  const drawn = scenes.length ? scenes : [...document.querySelectorAll("#event .draglayer .nsewdrag")];
  const ends = (selector) => [...document.querySelectorAll(selector)].map((e) => [box(e).left, box(e).right]);
  return {
    panels: drawn.map((e) => [box(e).left, box(e).right, box(e).width, box(e).height]),
    headings: ends("#event .annotation"),
    legend: ends("#event .legend .traces .legendtext, #event .colorbar"),
  };
}"""


def test_a_picture_is_no_wider_than_requested() -> None:
    shown = picture(b"png", "what it shows", Table(["a"], [["1"]]), most=32)
    assert 'style="max-width: 32rem"' in shown
