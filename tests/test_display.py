"""Pictures show every voxel in its class's colour, still ones and ones to turn; wrong requests are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import CLASS_COLORS, CLASS_NAMES, Event, crop, simulate

pytest.importorskip("matplotlib")
go = pytest.importorskip("plotly.graph_objects")
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.image import imread  # noqa: E402

from sscn_triton.lartpc.display import draw_event, event_html, plot_event, write_png  # noqa: E402
from sscn_triton.lartpc.panels import WRONG_COLOR  # noqa: E402


@pytest.fixture(scope="module")
def event() -> Event:
    """All five classes."""
    return simulate(1, 1604, 192)


def colors_in(path: Path) -> set[str]:
    """Class colours that fill some pixels of a picture, as drawn: nine tenths of the colour over white."""
    pixels = imread(path)[..., :3].reshape(-1, 3)
    found = set()
    for color in (*CLASS_COLORS, WRONG_COLOR):
        drawn = 0.9 * np.array(to_rgb(color)) + 0.1
        if (np.abs(pixels - drawn).max(1) < 0.02).sum() >= 3:
            found.add(color)
    return found


def test_a_picture_shows_every_class(event: Event, tmp_path: Path) -> None:
    path = write_png(draw_event(event), tmp_path / "new" / "event.png")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert colors_in(path) == set(CLASS_COLORS)
    assert [item.name for item in path.parent.iterdir()] == ["event.png"]


def test_truth_stands_beside_the_prediction(event: Event) -> None:
    figure = draw_event(event, prediction=np.zeros(len(event), np.int64))
    assert [axes.get_title() for axes in figure.axes] == ["truth", "prediction"]
    shares = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert shares[1] == ["HIP  100 %", "MIP  0 %", "shower  0 %", "delta  0 %", "Michel  0 %"]
    assert shares[0][1] == f"MIP  {100 * (event.labels == 1).mean():.0f} %"


def test_differences_are_red(event: Event, tmp_path: Path) -> None:
    wrong = (event.labels + 1) % 5
    assert colors_in(write_png(draw_event(event, "difference", wrong), tmp_path / "wrong.png")) == {WRONG_COLOR}
    assert colors_in(write_png(draw_event(event, "difference", event.labels), tmp_path / "right.png")) == set()


def test_the_energy_scale_is_logarithmic_and_spans_the_event(event: Event) -> None:
    figure = draw_event(event, ("energy", "label"))
    (scale,) = [axes for axes in figure.axes if axes.get_xlabel() == "energy of a voxel [MeV]"]
    assert scale.get_xscale() == "log"
    np.testing.assert_allclose(scale.get_xlim(), [event.energy.min(), event.energy.max()], rtol=1e-5)


def test_the_interactive_twin_holds_the_same_voxels(event: Event) -> None:
    figure = plot_event(event, prediction=event.labels)
    assert len(figure.data) == 10
    for trace in figure.data:
        label = CLASS_NAMES.index(trace.name)
        rows = event.labels == label
        assert trace.marker.color == CLASS_COLORS[label]
        centres = (event.coordinates[rows] + 0.5) * 0.3
        np.testing.assert_allclose(np.column_stack([trace.x, trace.y, trace.z]), centres, atol=1e-3)
    assert {trace.scene for trace in figure.data} == {"scene", "scene2"}
    assert sum(trace.showlegend for trace in figure.data) == 5
    assert figure.data[0].text[0].endswith("MeV<br>HIP, predicted HIP")


def test_the_interactive_page_needs_no_network(event: Event) -> None:
    page = event_html(plot_event(crop(event, 32), "energy"))
    assert "<html>" in page
    assert 'src="http' not in page
    assert "Plotly.newPlot" in page
    piece = event_html(plot_event(crop(event, 32)), full_page=False)
    assert "<html>" not in piece


@pytest.mark.parametrize("draw", [draw_event, plot_event])
def test_wrong_requests_are_refused(event: Event, draw: object) -> None:
    small = crop(event, 16)
    labels = small.labels.astype(np.int64)
    with pytest.raises(ValueError, match="color must be one or several of label, energy"):
        draw(small, "colour")
    with pytest.raises(ValueError, match="color must be one or several"):
        draw(small, ())
    with pytest.raises(ValueError, match="color='difference' needs a prediction"):
        draw(small, "difference")
    with pytest.raises(ValueError, match="color='energy' does not show the prediction given"):
        draw(small, "energy", labels)
    with pytest.raises(ValueError, match=r"prediction must be \[\d+\] integers"):
        draw(small, "label", labels[1:])
    with pytest.raises(ValueError, match=r"prediction must be \[\d+\] integers"):
        draw(small, "label", labels.astype(float))
    with pytest.raises(ValueError, match="prediction must be -1 to 4"):
        draw(small, "label", labels + 9)
    flat = Event(np.zeros((1, 2), int), np.ones(1), np.zeros(1, int), small.particles, 3.0, np.zeros(2), (4, 4))
    with pytest.raises(ValueError, match="only three-dimensional events are drawn, got one of 2"):
        draw(flat)


@pytest.mark.parametrize("color", ["label", "energy"])
def test_an_empty_event_is_drawn_too(color: str, tmp_path: Path) -> None:
    none = np.zeros(0)
    particles = simulate(1, 0, 16, minimum_voxels=10).particles
    event = Event(np.zeros((0, 3), int), none, none.astype(int), particles, 3.0, np.zeros(3), (16, 16, 16))
    write_png(draw_event(event, color), tmp_path / "empty.png")
    event_html(plot_event(event, color))
