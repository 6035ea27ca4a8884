"""The build computes the book's drawings: the animation, the result pages, their colours."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from sscn_ref import active_growth, convolve, submanifold_rulebook
from sscn_triton.common.units import percent
from tests.compat.spconv import foreign_networks

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "book"))
from sscn_book import front, migration, study  # noqa: E402


@pytest.fixture(scope="module")
def track() -> np.ndarray:
    return front.track(ROOT / "tutorial" / "events.npz")


def test_the_rims_of_the_animation_equal_the_growth_of_ordinary_convolutions(track):
    counts = np.cumsum([len(ring) for ring in front.grown(track)])
    assert counts.tolist() == active_growth(track, front.LAYERS)


def test_the_influence_drawn_along_the_track_is_that_of_convolutions(track):
    layers = front.influenced(track)
    rulebook, ones = submanifold_rulebook(track, 3), np.ones((9, 1, 1))
    carried = (track == layers[0]).all(axis=1)[:, None].astype(float)
    for layer in range(front.LAYERS + 1):
        reached = {tuple(site) for new in layers[: layer + 1] for site in new.tolist()}
        assert reached == {tuple(site) for site in track[carried[:, 0] > 0].tolist()}
        carried = convolve(carried, ones, rulebook)


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb, by WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_colours_of_the_pictures_contrast_with_the_page():
    css = (ROOT / "book" / "_static" / "front.css").read_text()
    light, dark = (re.findall(r"--\w+: (#\w{6});", part) for part in css.split('[data-theme="dark"]')[:2])
    assert len(light) == len(dark) == 2
    for page, colors in (("#ffffff", light), ("#121212", dark)):
        for color in colors:
            low, high = sorted([luminance(page), luminance(color)])
            assert (high + 0.05) / (low + 0.05) >= 3, (color, page)


def test_a_missing_result_is_reported_as_not_measured(tmp_path):
    assert study.text(tmp_path).count("**not measured yet**") == len(study.WANTED)


@pytest.mark.parametrize("path", sorted((ROOT / "book" / "results").glob("*-study-*.json")), ids=lambda path: path.stem)
def test_a_result_is_drawn_with_device_date_and_its_numbers(path):
    record = json.loads(path.read_text())
    text = study.text(path.parent)
    assert record["machine"]["processor"] in text
    assert record["created"][:10] in text
    for network in record["networks"]:
        assert percent(network["training_accuracy"]) in text
    purity = percent(record["michel"]["network"]["closer"]["michel"]["clustering_purity"])
    assert purity.replace(" ", "\N{NO-BREAK SPACE}") in text
    for what in (
        "How many events are needed",
        "Which receptive field",
        "Accuracy by class weights",
        "Beyond segmentation",
    ):
        assert what in text


def test_the_page_on_spconv_shows_every_network_compared_within_1e_5():
    table = migration.networks(ROOT / "book" / "results")
    for name in foreign_networks.NETWORKS:
        (row,) = (line for line in table.splitlines() if line.startswith(f"| {name} ("))
        outputs, gradients = map(float, row.split("|")[3:5])
        assert 0 < outputs <= 1e-5
        assert 0 < gradients <= 1e-5
    assert migration.networks(ROOT / "tests") == "**Public networks have not been compared yet.**"
