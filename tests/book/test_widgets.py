"""The widgets of the book, checked against `sscn_ref` in Chromium: by mouse, touch and keyboard, as readers do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sscn_ref import (
    HashTable,
    active_growth,
    convolve,
    dense_convolution,
    pack_keys,
    strided_rulebook,
    submanifold_rulebook,
    taps,
    to_dense,
    unique_sites,
)
from sscn_triton.lartpc import open_events
from tests.support.browser import Chromium, open_chromium

ROOT = Path(__file__).parents[2]
PIXELS = np.array([(0, 1), (1, 1), (1, 2), (2, 3), (3, 3), (4, 3), (4, 4), (5, 0)])
SITES = np.insert(PIXELS, 0, 0, axis=1)
BOOKS = [
    (3, submanifold_rulebook(SITES, 3)),
    (3, strided_rulebook(SITES, 3, 2, 1, spatial_shape=6)),
    (2, strided_rulebook(SITES, 2, 2, spatial_shape=6)),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture(params=["desktop", pytest.param("dark", marks=pytest.mark.deep), "phone"])
def page(request, chromium, book) -> Iterator[Any]:
    """The page with the widgets; checks at the end that it made no outside request and logged no error."""
    with chromium.visit(book / "interactive.html", request.param) as seen:
        yield seen.page
        seen.keep(request.param, f"interactive-{request.node.originalname}")
        assert (seen.outside(), seen.failed, seen.complaints) == ([], [], [])


ON_A_DESKTOP, ON_A_PHONE = (pytest.mark.parametrize("page", [way], indirect=True) for way in ("desktop", "phone"))
"""For what one way to look at the page shows well enough."""


@pytest.fixture(scope="module")
def event() -> np.ndarray:
    coordinates = open_events(ROOT / "tutorial" / "events.npz")[0].coordinates
    return np.insert(np.asarray(coordinates), 0, 0, axis=1)


def numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def press(page, widget, name: str) -> None:
    """Press a button: by touch if the device has it, otherwise with the mouse."""
    button = widget.get_by_role("button", name=name, exact=True)
    (button.tap if page.evaluate("navigator.maxTouchPoints") else button.click)()


@ON_A_DESKTOP
def test_the_slider_shows_as_many_active_sites_as_the_reference_counts(page, event):
    window = event[:, :3] - np.array([0, 96, 48])
    active, _ = unique_sites(window[((window[:, 1:] >= 0) & (window[:, 1:] < 96)).all(axis=1)])
    fixed, whole = submanifold_rulebook(active, 3), active_growth(event, 5)
    first = len(active)
    widget = page.locator("#widget-dilation")
    slider = widget.get_by_role("slider")
    slider.press("Home")
    for step in range(6):
        if step:
            layer = strided_rulebook(active, 3, 1, 1, spatial_shape=96)
            active = layer.output_coordinates
            slider.press("ArrowRight")
        cells = [numbers(row) for row in widget.locator("tbody tr").all_inner_texts()]
        assert cells[0] == [len(active), first]
        assert cells[1] == [pytest.approx(len(active) / first, abs=0.05), 1]
        assert cells[2] == ([layer.number_of_rules, fixed.number_of_rules] if step else [])
        assert cells[3][1:] == [whole[step], whole[0]]  # after the 3 of "in 3D"
        drawn = widget.locator("svg").evaluate_all(
            "pictures => pictures.map(picture => [...picture.children].filter(path => path.checkVisibility("
            "{ visibilityProperty: true })).map(path => path.getAttribute('d').split('M').length - 1))"
        )
        assert [sum(paths) for paths in drawn] == [len(active), first]


ALWAYS = [("desktop", 0), ("desktop", 1), ("desktop", 2), ("phone", 0)]
LATER = [pytest.param(way, choice, marks=pytest.mark.deep) for way in ("dark", "phone") for choice in (1, 2)]


@pytest.mark.parametrize(("page", "choice"), [*ALWAYS, *LATER], indirect=["page"])
def test_the_rules_of_the_selected_site_or_tap_are_highlighted(page, choice):
    kernel, book = BOOKS[choice]
    rules = [(tap, i, o) for tap, (ins, outs) in enumerate(book.rules) for i, o in zip(ins, outs, strict=True)]
    widget = page.locator("#widget-rulebook")
    widget.get_by_role("radio").nth(choice).check()
    places = {
        "input": book.input_coordinates[:, 1:].tolist(),
        "tap": taps((kernel, kernel)).tolist(),
        "output": book.output_coordinates[:, 1:].tolist(),
    }
    for column, kind in enumerate(("tap", "input", "output")):
        for row, (x, y) in enumerate(places[kind]):
            press(page, widget, f"tap {row} at ({x}, {y})" if kind == "tap" else f"{kind} row {row} at ({x}, {y})")
            wanted = [rule for rule in rules if rule[column] == row]
            assert widget.locator(".rule.lit").all_inner_texts() == [f"{i}→{o}" for _, i, o in wanted]
            assert f": {len(wanted)} rule" in widget.get_by_role("status").inner_text()
            for other, grid in enumerate(("taps", "input", "output")):
                if other != column:
                    lit = widget.locator(f".{grid} button.lit").all_inner_texts()
                    assert {int(text) for text in lit} == {rule[other] for rule in wanted}
            assert widget.locator("button[aria-pressed=true]").all_inner_texts() == [str(row)]


def test_a_site_is_chosen_by_keyboard_and_choices_are_undone(page):
    widget = page.locator("#widget-rulebook")
    widget.get_by_role("button", name="input row 3 at (2, 3)").focus()
    page.keyboard.press("Enter")
    rows = BOOKS[0][1].rules
    assert widget.locator(".rule.lit").count() == sum(int((ins == 3).sum()) for ins, _ in rows)
    status, undo = widget.get_by_role("status"), widget.get_by_role("button", name="Undo")
    said = [status.inner_text()]
    press(page, widget, "tap 4 at (1, 1)")
    said.append(status.inner_text())
    widget.get_by_role("radio").nth(1).check()
    said.append(status.inner_text())
    press(page, widget, "output row 0 at (0, 0)")
    assert len({*said, status.inner_text()}) == 4
    undo.focus()
    for before in reversed(said):
        page.keyboard.press("Enter")
        assert status.inner_text() == before
    assert widget.get_by_role("radio").nth(0).is_checked()
    page.keyboard.press("Enter")
    assert widget.locator(".lit").count() == 0
    page.keyboard.press("Enter")
    assert status.inner_text() == "There is no choice to undo."
    assert page.evaluate("document.activeElement.textContent") == "Undo"


FIVE = np.array([(0, 0, 0), (0, 1, 1), (0, 2, 1), (0, 3, 1), (0, 3, 2)])
FIVE_SHAPE = (4, 3)


def panels(page, widget, place: str) -> list[list[int]]:
    """The numbers in each grid of one part of the widget."""
    texts = widget.locator(f"{place} .grid").evaluate_all(
        "grids => grids.map(grid => [...grid.querySelectorAll('b')].map(cell => cell.textContent))"
    )
    return [[int(text.replace("\N{MINUS SIGN}", "-")) for text in grid] for grid in texts]


def fill(widget, name: str, numbers: list[int]) -> None:
    """Write numbers into the fields of this name, in their order, leaving out hidden ones."""
    fields = widget.get_by_role("spinbutton", name=name)
    assert fields.count() == len(numbers)
    for field, number in zip(fields.all(), numbers, strict=True):
        field.fill(str(number))


@ON_A_PHONE
def test_outputs_follow_the_numbers_that_the_reader_writes(page):
    values, weights = [3, -2, 0, 7, 5], [2, -1, 0, 4, 1, -3, 5, 0, -2]
    widget = page.locator("#widget-numbers")
    fill(widget, "value of pixel", values)
    fill(widget, "weight of tap", weights)
    f, weight, book = np.array(values, float)[:, None], np.reshape(weights, (9, 1, 1)), submanifold_rulebook(FIVE, 3)
    inside = to_dense(np.ones((5, 1)), FIVE, FIVE_SHAPE)
    sparse, dense, masked = f, to_dense(f, FIVE, FIVE_SHAPE), to_dense(f, FIVE, FIVE_SHAPE)
    wanted, differ = [], []
    for _ in range(2):
        sparse = convolve(sparse, weight, book)
        dense = dense_convolution(dense, weight.reshape(3, 3, 1, 1), padding=1)
        masked = inside * dense_convolution(masked, weight.reshape(3, 3, 1, 1), padding=1)
        wanted += [sparse.ravel().tolist(), dense.ravel().tolist(), masked.ravel().tolist()]
        differ.append(int((dense[tuple(FIVE.T)] != sparse).sum()))
    assert panels(page, widget, ".results") == wanted
    assert numbers(widget.locator("p.status").inner_text()) == [*differ, 0]
    assert widget.locator(".results .wrong").count() == sum(differ) > 0
    slider = widget.get_by_role("slider")
    slider.press("Home")
    for tap, (rows_in, rows_out) in enumerate(book.rules):
        if tap:
            slider.press("ArrowRight")
        sums = convolve(f, np.where(np.arange(9)[:, None, None] <= tap, weight, 0), book)[:, 0]
        assert panels(page, widget, ".sums")[0] == sums.tolist()
        lines = widget.locator("tbody tr").all_inner_texts()
        rules = list(zip(rows_in.tolist(), rows_out.tolist(), strict=True))
        if not rules:
            assert lines == ["This tap has no rule: there is nothing to compute."]
        for line, (i, o) in zip(lines, rules, strict=False):
            rule, gathered, product, added = line.replace("\N{MINUS SIGN}", "-").split("\t")
            assert (rule, gathered) == (f"{i}→{o}", f"f{i} = {values[i]}")
            assert product.endswith(f" = {values[i] * weights[tap]}")
            assert added.endswith(f" = {sums[o]:.0f}")
        lit = widget.locator("input.lit").evaluate_all("fields => fields.map(field => field.ariaLabel)")
        assert [name.split(" at ")[0] for name in lit] == [
            *(f"value of pixel {row}" for row in sorted(rows_in)),
            f"weight of tap {tap}",
        ]
    small = "all => all.filter(one => one.checkVisibility()).map(one => [parseFloat(getComputedStyle(one).fontSize),"
    shown = widget.locator(".grid > *, td, label").evaluate_all(small + "one.scrollWidth - one.clientWidth])")
    assert min(size for size, _ in shown) > 11  # pixels, on a phone too
    assert max(over for _, over in shown) <= 1
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@ON_A_DESKTOP
def test_the_strided_layer_follows_the_numbers_and_an_invalid_number_is_named(page):
    values, weights = [1, -9, 4, 0, 6], [3, -1, 2, 5]
    widget = page.locator("#widget-numbers")
    widget.get_by_role("radio").nth(1).check()
    fill(widget, "value of pixel", values)
    fill(widget, "weight of tap", weights)
    book, weight = strided_rulebook(FIVE, 2, 2), np.reshape(weights, (4, 1, 1))
    below = convolve(np.array(values, float)[:, None], weight, book)
    assert panels(page, widget, ".results") == [
        below[:, 0].tolist(),
        convolve(below, weight, book.transposed())[:, 0].tolist(),
    ]
    press(page, widget, "Start over")
    assert panels(page, widget, ".results") == [[9, 22, 15], [9, 36, 44, 88, 45]]  # as in chapter 8
    widget.get_by_role("radio").nth(0).check()
    field, status = widget.get_by_label("value of pixel 1 at (1, 1)"), widget.locator("p.status")
    field.press("ArrowUp")
    assert page.evaluate("document.activeElement.ariaLabel") == "value of pixel 1 at (1, 1)"
    assert panels(page, widget, ".results")[0] == [32, 40, 98, 56, 44]
    for wrong in ("", "1.5", "10", "-10"):
        field.fill(wrong)
        assert status.inner_text().startswith("Values and weights are whole numbers from −9 to 9.")
        assert panels(page, widget, ".results")[0] == [32, 40, 98, 56, 44]
    field.fill("2")
    assert panels(page, widget, ".results")[0] == [23, 35, 96, 56, 44]
    assert status.inner_text().startswith("At the five pixels")


@ON_A_DESKTOP
def test_keys_are_inserted_and_looked_up_as_by_the_reference(page):
    keys = [int(key) for key in pack_keys(SITES, np.zeros(3, np.int64), np.array([1, 6, 6]))]
    table = HashTable(16)
    for row, key in enumerate(keys[:5]):
        table.insert(key, row)
    widget = page.locator("#widget-hashing")
    status, field = widget.get_by_role("status"), widget.get_by_role("textbox")
    asked = [("Insert", key) for key in [*keys[5:], 40, 2**62 + 5, *keys]] + [("Look up", key) for key in (21, 22, 28)]
    for what, key in asked:
        trace = table.trace(key)
        there = table.lookup(key) >= 0
        row = table.insert(key, len(table)) if what == "Insert" else table.lookup(key)
        field.fill(str(key))
        press(page, widget, what)
        for probe in trace:
            press(page, widget, "Step")
            assert status.inner_text().startswith(f"Slot {probe.slot} ")
        outcome = f"row {row}" if there or what == "Insert" else "not in the table"
        assert outcome in status.inner_text()
        assert f"after {len(trace)} probe" in status.inner_text()
        shown = widget.locator(".slots b").all_inner_texts()
        assert shown == ["empty" if r < 0 else str(k) for k, r in zip(table.keys, table.rows, strict=True)]
        assert f"Load {len(table)}/16 = {table.load};" in widget.locator(".facts").inner_text()


@pytest.mark.parametrize("name", ["Step", "To the end"])
def test_the_end_of_a_search_leaves_the_keyboard_in_the_widget(page, name):
    widget = page.locator("#widget-hashing")
    press(page, widget, "Start over")
    press(page, widget, "Look up")
    button = widget.get_by_role("button", name=name, exact=True)
    button.focus()
    while button.is_enabled():
        page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "hashing-key"


def test_the_widget_reports_a_full_table_and_an_invalid_key(page):
    widget = page.locator("#widget-hashing")
    status, field = widget.get_by_role("status"), widget.get_by_role("textbox")
    for key in range(100, 111):
        field.fill(str(key))
        press(page, widget, "Insert")
        press(page, widget, "To the end")
    field.fill("111")
    field.press("Enter")
    press(page, widget, "To the end")
    assert status.inner_text() == "All 16 slots are full and none holds 111, after 16 probes."
    for wrong in ("-1", "x", "", str(2**63)):
        field.fill(wrong)
        press(page, widget, "Insert")
        assert status.inner_text().startswith("A key is a whole number")
    press(page, widget, "Start over")
    assert "Load 5/16" in widget.locator(".facts").inner_text()


def test_the_waste_of_tiles_equals_that_counted_from_the_rulebook(page, event):
    has = np.zeros((len(event), 27), bool)
    for tap, (_, rows) in enumerate(submanifold_rulebook(event, 3).rules):
        has[rows, tap] = True
    masks = has @ (1 << np.arange(27))
    rank = np.array([from_gray(mask) for mask in masks.tolist()])
    orders = [np.arange(len(event)), np.argsort(masks, kind="stable"), np.argsort(rank, kind="stable")]
    widget = page.locator("#widget-tiles")
    rows, sizes = (
        widget.get_by_role("group", name="Rows", exact=True),
        widget.get_by_role("group", name="Rows in a tile"),
    )
    for place, order in enumerate(orders):
        rows.get_by_role("radio").nth(place).check()
        for button, size in enumerate((16, 32, 64)):
            sizes.get_by_role("radio").nth(button).check()
            tiles = [has[order[start : start + size]] for start in range(0, len(event), size)]
            computed = sum(int(tile.any(axis=0).sum()) for tile in tiles)
            said = numbers(widget.locator(".facts").inner_text())
            assert said[:2] == [len(tiles), size]
            assert said[-3:-1] == [computed, len(tiles) * 27]
            assert said[-1] == pytest.approx(100 * (1 - has.sum() / (computed * size)), abs=0.051)
    slider = widget.get_by_role("slider")
    squares = "path => path.getAttribute('d').split('M').length - 1"
    for tile in (-1, -2):  # the last unit is filled with rows that have no tap
        slider.press("End" if tile == -1 else "ArrowLeft")
        rules, gaps = (widget.locator(f".zoom path.{kind}").evaluate(squares) for kind in ("rules", "waste"))
        assert (rules, rules + gaps) == (tiles[tile].sum(), 64 * tiles[tile].any(axis=0).sum())
    used = int(tiles[-2].any(axis=0).sum())
    assert numbers(widget.locator("p.status").inner_text())[:4] == [len(tiles) - 2, used, 27, 27 - used]
    widget.locator("canvas").click(position={"x": 2, "y": 50})
    assert numbers(widget.locator("p.status").inner_text())[0] == 0


def from_gray(code: int) -> int:
    """The number whose reflected Gray code this is: each bit is the parity of itself and all higher bits."""
    return sum((code >> bit).bit_count() % 2 << bit for bit in range(code.bit_length()))


@pytest.mark.parametrize("way", ["print", "no scripts"])
@pytest.mark.parametrize(("name", "count"), [("interactive", 5), ("relation", 1)])
def test_a_still_picture_replaces_the_widget_in_print_and_without_javascript(chromium, book, way, name, count):
    with chromium.visit(book / f"{name}.html", scripts=way == "print") as seen:
        if way == "print":
            seen.page.emulate_media(media="print")
        assert seen.page.locator("figure.widget").count() == count
        for picture in seen.page.locator("figure.widget img.still").all():
            assert picture.is_visible()
        assert not any(live.is_visible() for live in seen.page.locator("figure.widget .live").all())


def test_on_a_screen_the_widget_replaces_the_still_picture(page):
    assert not any(picture.is_visible() for picture in page.locator("figure.widget img.still").all())
    assert all(live.is_visible() for live in page.locator("figure.widget .live").all())
    assert page.locator("figure.widget .live").count() == 5


@pytest.fixture(params=["desktop", pytest.param("dark", marks=pytest.mark.deep), "phone"])
def relation_page(request, chromium, book) -> Iterator[Any]:
    """The page on the one relation, with the same checks at the end as `page`."""
    with chromium.visit(book / "relation.html", request.param) as seen:
        yield seen.page
        seen.keep(request.param, f"relation-{request.node.originalname}")
        assert (seen.outside(), seen.failed, seen.complaints) == ([], [], [])


LINE = np.array([0, 1, 2, 0, 3, 0, 4, 5])


def convolved(stride: int, dilation: int, padding: int) -> list[str]:
    """The texts of the outputs of a layer with the weights 1, 10 and 100, empty for inactive ones."""
    sites, values = np.insert(np.argwhere(LINE), 0, 0, axis=1), LINE[LINE > 0].astype(float)
    book = strided_rulebook(sites, 3, stride, padding, dilation, spatial_shape=len(LINE))
    outputs = convolve(values[:, np.newaxis], np.array([1.0, 10, 100]).reshape(3, 1, 1), book)[:, 0]
    shown = [""] * ((len(LINE) + 2 * padding - 2 * dilation - 1) // stride + 1)
    for u, total in zip(book.output_coordinates[:, 1], outputs, strict=True):
        shown[u] = str(int(total))
    return shown


def test_the_sliders_of_the_relation_show_the_layer_of_the_reference(relation_page):
    widget = relation_page.locator("#widget-relation")
    sliders = {name: widget.get_by_label(f"{name} =", exact=False) for name in ("stride s", "dilation d", "padding p")}
    stride, dilation, padding = sliders.values()
    for slider in sliders.values():
        slider.press("Home")
    for s, d, p in [(1, 1, 0), (2, 1, 0), (2, 1, 1), (2, 3, 1), (3, 3, 0), (1, 3, 3), (3, 2, 3)]:
        for slider, low, wanted in ((stride, 1, s), (dilation, 1, d), (padding, 0, p)):
            slider.press("Home")
            for _ in range(wanted - low):
                slider.press("ArrowRight")
        wanted = convolved(s, d, p)
        assert widget.locator("svg text.output").all_text_contents() == wanted
        assert widget.locator(".equation").inner_text() == f"x = {s}·u + {d}·t − {p}"
        kept = {int(x) for x in np.flatnonzero(LINE)} if p == d and s == 1 else set()
        frames = widget.locator("svg rect.output").evaluate_all(
            "cells => cells.map(cell => cell.classList.contains('kept'))"
        )
        assert set(np.flatnonzero(frames).tolist()) == kept
        for end in ("Home", "End"):  # the first output and the last
            output = widget.get_by_label("output u =", exact=False)
            output.press(end)
            u = len(wanted) - 1 if end == "End" else 0
            places = [s * u + d * t - p for t in range(3)]
            values = ["outside" if not 0 <= x < len(LINE) else str(LINE[x] or "empty") for x in places]
            assert [row.split("\t")[2] for row in widget.locator("tbody tr").all_inner_texts()] == values
            said = widget.locator("p.status").inner_text()
            assert said.startswith(f"Output {u} is {wanted[u]}." if wanted[u] else f"Output {u} is inactive")
            assert f"{sum(map(bool, wanted))} of {len(wanted)} outputs" in said
    sizes = widget.locator("svg text").evaluate_all(
        "texts => texts.filter(text => text.textContent).map(text => text.getBoundingClientRect().height)"
    )
    assert min(sizes) > 11  # pixels, on a phone too
