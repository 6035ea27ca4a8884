"""The statistics that compare our simulated events with those of PILArNet, and the ranges of the latter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sscn_triton import cli
from sscn_triton.lartpc import CLASS_NAMES, PARTICLE_DTYPE, Event, read_larcv, simulate
from sscn_triton.lartpc.event import no_particles
from sscn_triton.lartpc.numbers.statistics import statistics
from sscn_triton.lartpc.numbers.statistics_page import statistics_page
from sscn_triton.lartpc.numbers.track_shapes import track_shapes
from sscn_triton.lartpc.simulation.imaging import make_image
from sscn_triton.lartpc.simulation.world import DEPOSIT

PILARNET = {  # medians of our events must lie inside
    "median_voxel": (0.0427, 0.0523),
    "neighbours": (15.0, 16.4),
    "track_voxels": (7.8, 8.5),
    "track_rms": (0.56, 0.60),
    "growth_1": (3.66, 4.7),
    "growth_2": (8.0, 12.2),
    "growth_3": (14.6, 24.5),
    "dedx_muon": (1.7, 2.1),
}
HALVINGS = (0.28, 0.36, 0.46, 0.50, 0.45)
SHARES = {"HIP": 0.12, "MIP": 0.43, "shower": 0.42, "delta": 0.02, "Michel": 0.01}


def straight_track(pdg: int, length: float, loss: float, *, known: bool = True) -> Event:
    """`length` voxels through the middle of an image, with a loss of `loss` MeV/cm."""
    start, direction = np.array([10.3, 20.1, 12.7]) * 0.3, np.array([0.8, 0.0, 0.6])
    places = start + (np.arange(2000)[:, None] + 0.5) / 2000 * length * 0.3 * direction
    deposits = np.zeros(2000, DEPOSIT)
    for axis, name in enumerate("xyz"):
        deposits[name] = places[:, axis]
    deposits["energy"] = loss * length * 0.3 / 2000
    image = make_image(deposits, np.array([1]), 64, 0.3)
    particles = np.zeros(1, PARTICLE_DTYPE)
    particles["pdg"], particles["label"], particles["num_voxels"] = pdg, 1, len(image.voxels)
    sites = np.column_stack(np.unravel_index(image.voxels, (64, 64, 64), order="F"))
    clusters = image.rows if known else None
    return Event(sites, image.energy, image.labels, particles, 3.0, np.zeros(3), (64,) * 3, "", clusters)


@pytest.mark.parametrize("known", [True, False])
def test_length_and_energy_loss_of_a_made_track_are_measured_correctly(known: bool) -> None:
    (shape,) = track_shapes(straight_track(-211, 40.0, 2.0, known=known))
    assert shape.pdg == 211
    assert shape.length == pytest.approx(40.0, rel=0.06)
    assert shape.energy / (40.0 * 0.3) == pytest.approx(2.0, rel=0.05)  # the threshold removes the rest
    found = statistics([straight_track(13, 40.0, 2.0)])
    assert found["dedx_muon"][0] == pytest.approx(2.0, abs=0.15)
    assert np.isnan(found["dedx_pion"][0])
    assert 7 < found["track_voxels"][0] < 9.5


def test_short_bent_and_unlabelled_clusters_are_not_tracks() -> None:
    assert track_shapes(straight_track(13, 8.0, 2.0)) == []
    assert track_shapes(straight_track(11, 40.0, 2.0)) == []
    event = straight_track(13, 40.0, 2.0)
    bent = event.coordinates.copy()
    bent[:, 1] += np.abs(bent[:, 0] - 26) // 2
    assert track_shapes(event.replace(coordinates=bent)) == []
    assert track_shapes(event.replace(clusters=np.full(len(event), -1), particles=no_particles())) == []


def test_tracks_of_pilarnet_are_those_of_the_field_notes(pilarnet_file: Path) -> None:
    (proton,), (pion,) = (track_shapes(read_larcv(pilarnet_file)[number]) for number in (0, 1))
    assert (proton.pdg, pion.pdg) == (2212, 211)
    assert pion.energy / pion.length / 0.3 == pytest.approx(2.3, abs=0.15)
    assert 7.8 < pion.voxels / pion.length < 8.5


@pytest.mark.deep
def test_simulated_events_are_like_those_of_pilarnet() -> None:
    """A thousand events: their medians lie inside the range of PILArNet's, and class shares and occupancy equal the
    slides'."""
    found = statistics([simulate(5, index, 192) for index in range(1000)])
    assert (np.round(found["minimum_voxel"], 6) >= 0.01).all()
    for name, (low, high) in PILARNET.items():
        assert low <= np.nanmedian(found[name]) <= high, name
    for level, theirs in enumerate(HALVINGS, start=1):
        assert np.nanmedian(found[f"halving_{level}"]) == pytest.approx(theirs, rel=0.08)
    for name, theirs in SHARES.items():
        share = np.nanmean(found[f"share_{name}"])
        assert theirs / 1.5 <= share <= theirs * 1.5, name
        assert abs(share - theirs) < 0.04, name
    assert 0.0003 < found["occupancy"].mean() < 0.001
    larger = [simulate(5, index, 512) for index in range(60)]
    assert np.mean([len(event) for event in larger]) / 512**3 == pytest.approx(1e-4, rel=0.5)


def test_the_page_contains_both_columns_and_is_self_contained(pilarnet_file: Path) -> None:
    simulated = [simulate(5, index, 64) for index in range(12)]
    page = statistics_page({"simulated": simulated, "PILArNet": read_larcv(pilarnet_file)[:2]})
    for words in ("active voxels", "after halving 3", "pions, energy", *(f"{name}, share" for name in CLASS_NAMES)):
        assert words in page
    assert page.count("<td>2.23</td>") == 4  # the pion of PILArNet: its mean, median, least and largest
    assert "http" not in page
    assert page.count("<svg") >= 6
    with pytest.raises(ValueError, match="two lists of events"):
        statistics_page({})


def test_the_command_writes_the_page(pilarnet_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "statistics.html"
    with pytest.raises(SystemExit) as end:
        cli.main(["statistics", str(pilarnet_file), "--events", "5", "--size", "48", "--out", str(out)])
    assert end.value.code == 0
    assert f"page: {out}" in capsys.readouterr().out
    assert "5 events" in out.read_text()
    for wrong, words in (("--events=0", "events must be at least 1"), ("--size=4", "size must be 8 to 4096 voxels")):
        with pytest.raises(SystemExit) as end:
            cli.main(["statistics", str(pilarnet_file), wrong])
        assert end.value.code == 2
        assert words in capsys.readouterr().err
