"""Static and interactive pictures show every voxel in its class's colour; wrong requests are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sscn_triton.lartpc import CLASS_COLORS, CLASS_NAMES, Event, Prediction, crop, project, simulate
from sscn_triton.lartpc.event import no_particles
from sscn_triton.lartpc.numbering import TWO_CLASSES, as_named

pytest.importorskip("matplotlib")
go = pytest.importorskip("plotly.graph_objects")
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.image import imread  # noqa: E402

from sscn_triton.lartpc.pictures.display import draw_event, event_html, plot_event, write_png  # noqa: E402
from sscn_triton.lartpc.pictures.panels import WRONG_COLOR, energy_range, energy_ticks  # noqa: E402


@pytest.fixture(scope="module")
def event() -> Event:
    """An event with all five classes."""
    return simulate(1, 389, 192)


def colors_in(path: Path) -> set[str]:
    """Class colours that fill some pixels of a picture, as they are drawn: nine tenths opaque over white."""
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


def test_truth_and_prediction_are_drawn_side_by_side(event: Event) -> None:
    figure = draw_event(event, prediction=np.zeros(len(event), np.int64))
    assert [axes.get_title().partition(":")[0] for axes in figure.axes] == ["truth", "prediction"]
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


def test_the_interactive_figure_contains_the_same_voxels(event: Event) -> None:
    figure = plot_event(event, prediction=event.labels, starts=False)
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


def test_the_interactive_energy_scale_is_logarithmic_and_ends_at_the_least_energy_above_zero() -> None:
    energies = np.array([0.02, 3.0, 0.0, -0.5, 0.2], np.float32)
    made = Event(
        np.arange(15).reshape(5, 3), energies, np.zeros(5, int), no_particles(), 3.0, np.zeros(3), (16,) * 3, ""
    )
    (trace,) = plot_event(made, "energy").data
    least = np.log10(0.02)
    np.testing.assert_allclose(trace.marker.color, [least, np.log10(3), least, least, np.log10(0.2)], rtol=1e-5)
    np.testing.assert_allclose([trace.marker.cmin, trace.marker.cmax], [least, np.log10(3)], rtol=1e-5)
    assert trace.marker.size[[2, 1]].tolist() == [1.0, 3.5]


def test_the_interactive_page_needs_no_network(event: Event) -> None:
    page = event_html(plot_event(crop(event, 32), "energy"))
    assert '<html lang="en">' in page
    assert 'src="http' not in page
    assert "Plotly.newPlot" in page
    piece = event_html(plot_event(crop(event, 32)), full_page=False)
    assert "<html" not in piece


@pytest.mark.parametrize("draw", [draw_event, plot_event])
def test_invalid_arguments_of_drawing_are_refused(event: Event, draw: object) -> None:
    small = crop(event, 16)
    labels = small.labels.astype(np.int64)
    with pytest.raises(ValueError, match="color must be one or several of label, energy"):
        draw(small, "colour")
    with pytest.raises(ValueError, match="color must be one or several"):
        draw(small, ())
    with pytest.raises(ValueError, match="color='difference' needs a prediction"):
        draw(small, "difference")
    with pytest.raises(ValueError, match="a prediction was given, but color='energy' does not show it"):
        draw(small, "energy", labels)
    with pytest.raises(ValueError, match=r"prediction must be \[\d+\] integers"):
        draw(small, "label", labels[1:])
    with pytest.raises(ValueError, match=r"prediction must be \[\d+\] integers"):
        draw(small, "label", labels.astype(float))
    with pytest.raises(ValueError, match="prediction must be -1 to 4"):
        draw(small, "label", labels + 9)
    line = Event(np.zeros((1, 1), int), np.ones(1), np.zeros(1, int), small.particles, 3.0, np.zeros(1), (4,))
    with pytest.raises(ValueError, match="events of two or three dimensions can be drawn, got 1"):
        draw(line)


def told(event: Event, names: tuple[str, ...] = CLASS_NAMES) -> Event:
    """The event with a prediction that has every third voxel wrong."""
    truth = as_named(event.labels, names)
    guess = np.where(np.arange(len(event)) % 3 == 0, (truth + 1) % len(names), truth)
    return event.replace(prediction=Prediction(guess, 0.9 * np.eye(len(names))[guess], names))


@pytest.mark.parametrize("names", [CLASS_NAMES, TWO_CLASSES])
def test_an_events_own_prediction_is_shown_in_its_own_classes(event: Event, names: tuple[str, ...]) -> None:
    small = told(crop(event, 64), names)
    figure = plot_event(small, ("label", "prediction", "difference"), starts=False)
    truth = as_named(small.labels, names)
    rows = [truth == label for label in range(len(names))]
    rows += [small.prediction.labels == label for label in range(len(names))]
    rows += [small.prediction.labels == truth, small.prediction.labels != truth]
    assert [len(trace.x) for trace in figure.data] == [int(row.sum()) for row in rows]
    assert [trace.name for trace in figure.data] == [*names, *names, "right", "wrong"]
    assert [trace.name for trace in figure.data if trace.showlegend] == [*names, "right", "wrong"]
    assert figure.data[-1].text[0].endswith(f"predicted {names[small.prediction.labels[rows[-1]][0]]} (0.90)")
    titles = [axes.get_title() for axes in draw_event(small, ("label", "prediction", "difference")).axes]
    assert titles == ["truth", f"prediction: {share_right(truth, small.prediction.labels)}", "difference"]
    assert [note.text for note in figure.layout.annotations] == titles


def share_right(truth: np.ndarray, guess: np.ndarray) -> str:
    known = truth >= 0
    return f"{100 * np.mean(truth[known] == guess[known]):.1f} % of {known.sum():,} voxels correct"


@pytest.mark.parametrize("color", ["prediction", "difference"])
def test_a_picture_of_the_prediction_shows_the_share_of_correct_voxels(event: Event, color: str) -> None:
    small = told(crop(event, 64))
    wanted = share_right(small.labels, small.prediction.labels)
    assert [note.text for note in plot_event(small, color).layout.annotations] == [wanted]
    assert draw_event(small, color).axes[0].get_title() == wanted
    half = small.replace(labels=np.where(np.arange(len(small)) % 2, -1, small.labels))
    assert plot_event(half, color).layout.annotations[0].text == share_right(half.labels, half.prediction.labels)
    unknown = small.replace(labels=np.full(len(small), -1))
    assert not plot_event(unknown, "prediction").layout.annotations
    assert draw_event(unknown, "prediction").axes[0].get_title() == ""


@given(low=st.floats(1e-4, 10), ratio=st.floats(10, 1e5))
def test_an_energy_scale_has_at_least_two_round_ticks(low: float, ratio: float) -> None:
    ticks = energy_ticks(low, low * ratio)
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(ticks)
    assert all(low <= tick <= low * ratio and f"{tick:e}"[0] in "125" for tick in ticks)


@pytest.mark.parametrize("energies", [[0.04, 0.3], [1.0], [0.02, 55.0], [0.11, 0.9]])
def test_the_energy_scale_of_both_pictures_shows_at_least_two_numbers(event: Event, energies: list[float]) -> None:
    small = crop(event, 32)
    some = small.replace(energy=np.resize(energies, len(small)))
    low, high = energy_range(some)
    shown = [float(text) for text in plot_event(some, "energy").data[0].marker.colorbar.ticktext]
    still = draw_event(some, "energy").axes[1]
    drawn = [tick for tick in still.get_xticks() if low <= tick <= high]
    assert shown == pytest.approx(drawn)
    assert len(shown) >= 2
    assert [text.get_text() for text in still.get_xticklabels()] == [f"{tick:g}" for tick in drawn]


def test_the_legend_names_every_class_once_also_beside_energy(event: Event) -> None:
    figure = plot_event(crop(event, 64), ("energy", "label"))
    assert [trace.name for trace in figure.data if trace.showlegend][-5:] == list(CLASS_NAMES)


def test_circles_mark_where_particles_started(event: Event) -> None:
    """A particle that started outside the image, or deposited almost no energy, has no circle."""
    figure = plot_event(event, ("energy", "label"))
    for trace in [trace for trace in figure.data if trace.name == "particle start"]:
        assert 5 < len(trace.x) < len(event.particles) / 2
        first = event.particles["first_step"] / 10
        for point, words in zip(np.column_stack([trace.x, trace.y, trace.z]), trace.text, strict=True):
            row = int(np.abs(first - point).max(1).argmin())
            assert np.abs(first[row] - point).max() < 1e-3
            assert event.particles["num_voxels"][row] >= 5
            energy = f"{event.particles['energy_init'][row]:.0f} MeV"
            assert words.split(", ")[1:] == [energy, event.particles["process"][row]]
    assert sum(trace.name == "particle start" for trace in figure.data) == 2
    hidden = event.particles.copy()
    hidden["first_step"][: len(hidden) // 2] = np.nan
    few = plot_event(event.replace(particles=hidden))
    assert 0 < len(few.data[-1].x) < len(figure.data[-1].x)
    assert "particle start" in draw_event(event).axes[0].get_legend().get_texts()[-1].get_text()
    assert [trace.name for trace in plot_event(event, starts=False).data] == list(CLASS_NAMES)


def test_planes_are_drawn_pixel_by_pixel(event: Event, tmp_path: Path) -> None:
    image = told(project(event, "u"))
    figure = draw_event(image, ("label", "energy", "difference"))
    panels = [axes for axes in figure.axes if axes.get_images()]
    truth, energy, difference = (axes.get_images()[0].get_array() for axes in panels)
    for (wire, drift), label, wrong in zip(
        image.coordinates, image.labels, image.prediction.labels != image.labels, strict=True
    ):
        assert tuple(truth[drift, wire, :3]) == to_rgb(CLASS_COLORS[label])
        assert (tuple(difference[drift, wire, :3]) == to_rgb(WRONG_COLOR)) == wrong
    drawn = np.flatnonzero(energy[..., 3].ravel())
    assert drawn.tolist() == sorted((image.coordinates[:, 1] * energy.shape[1] + image.coordinates[:, 0]).tolist())
    assert [axes.get_xlabel() for axes in panels] == ["wire [cm]"] * 3
    write_png(figure, tmp_path / "plane.png")
    turned = plot_event(image, ("energy", "label"))
    assert {trace.yaxis for trace in turned.data} == {"y", "y2"}
    np.testing.assert_allclose(turned.data[0].x, (image.coordinates[:, 0] + 0.5) * 0.3, atol=1e-3)
    assert (turned.layout.yaxis2.scaleanchor, turned.layout.xaxis2.anchor) == ("x2", "y2")


def test_particles_beside_the_plane_have_no_circle(event: Event) -> None:
    image = project(event, "u")
    starts = plot_event(image).data[-1]
    pixels = (image.coordinates + 0.5) * 0.3
    for point in np.column_stack([starts.x, starts.y]):
        assert np.abs(pixels - point).max(1).min() < 0.95
    assert len(starts.x) > 5


@pytest.mark.parametrize("color", ["label", "energy"])
def test_an_empty_event_can_be_drawn(color: str, tmp_path: Path) -> None:
    none = np.zeros(0)
    particles = simulate(1, 0, 16, minimum_voxels=10).particles
    event = Event(np.zeros((0, 3), int), none, none.astype(int), particles, 3.0, np.zeros(3), (16, 16, 16))
    for one in (event, project(event, "y")):
        write_png(draw_event(one, color), tmp_path / "empty.png")
        event_html(plot_event(one, color))
