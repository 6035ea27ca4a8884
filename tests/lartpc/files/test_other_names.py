"""Files with other names for their trees, groups, arrays and columns, and without labels, are read by options of the
same names in Python and in every command; labels of unknown meaning are numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("uproot")
from sscn_triton import cli
from sscn_triton.lartpc import (
    CLASS_NAMES,
    Event,
    EventFileError,
    create_events,
    numbering,
    open_events,
    project,
    relabel,
    statistics,
)
from sscn_triton.lartpc.files.reading_options import ReadingOptions
from sscn_triton.lartpc.numbers.inspection import inspect_events
from sscn_triton.lartpc.pictures.display import draw_event, plot_event
from sscn_triton.lartpc.pictures.panels import make_panels
from tests.support.events.files import random_event, same_event, write_larcv3
from tests.support.events.formats import FORMATS, MAKERS, Format, as_spine, make

EVENTS = [random_event(seed, 200, (16, 16, 16)) for seed in range(3)]
SHAPES = [np.random.default_rng(seed).integers(0, 6, 200) for seed in range(3)]
SPINE = {"energies": "sparse3d_pcluster", "truth": "sparse3d_pcluster_semantics", "particles": "particle_pcluster_tree"}
WORDS = [word for name, value in SPINE.items() for word in (f"--{name}", value)]
READING = [field.name for field in dataclasses.fields(ReadingOptions)]
OPTIONS = [name for name in READING if name != "conventions"]  # those that depend on the format
VALUES = {"energies": "a", "truth": "b", "truth_means": "shapes", "particles": "c", "voxel_size": 4.0, "projection": 1}


@pytest.fixture
def spine(tmp_path: Path) -> Path:
    return as_spine(tmp_path / "spine.root", EVENTS, SHAPES)


def sscn(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sscn WORDS`."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def labels_of(event: Event, original: Event, values: np.ndarray) -> bool:
    orders = [np.lexsort(one.coordinates.T) for one in (event, original)]
    return np.array_equal(event.labels[orders[0]], values[orders[1]])


def test_other_trees_are_read_by_name(spine: Path) -> None:
    with open_events(spine, **SPINE, truth_means="shapes") as events:
        assert len(events) == 3
        for event, original, shapes in zip(events, EVENTS, SHAPES, strict=True):
            np.testing.assert_allclose(event.energy.sum(), original.energy.sum(), rtol=1e-5)
            assert labels_of(event, original, shapes)
            assert event.label_names == numbering.SHAPE_NAMES
            assert len(event.particles) == 3


MISSING = {
    "energies": ({}, "no tree sparse3d_data_tree; .*'sparse3d_pcluster_tree'.*; pass the name .*--energies NAME"),
    "truth": ({"energies": "sparse3d_pcluster"}, "no tree sparse3d_fivetypes_tree; .*--truth NAME.*--truth none"),
    "particles": (
        {"energies": "sparse3d_pcluster", "truth": "none"},
        r"no tree particle_mcst_tree; .*'particle_pcluster_tree'.*--particles NAME.*--particles none",
    ),
    "a wrong name": ({"energies": "sparse3d_x"}, "no tree sparse3d_x; the file contains"),
}


@pytest.mark.parametrize("name", MISSING)
def test_an_error_about_a_missing_tree_lists_the_trees_and_names_the_option(spine: Path, name: str) -> None:
    options, message = MISSING[name]
    with pytest.raises(EventFileError, match=rf"spine\.root: {message}"):
        open_events(spine, **options)


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_every_format_is_read_without_labels(tmp_path: Path, kind: Format) -> None:
    known = [event.replace(labels=np.maximum(event.labels, 0)) for event in EVENTS]
    path = make(kind, tmp_path, known)
    for event, original in zip(open_events(path, truth="none"), known, strict=True):
        assert (event.labels == -1).all()
        assert len(event) == len(original)
    assert all((event.labels >= 0).all() for event in open_events(path))


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_is_accepted_and_ignored(tmp_path: Path, kind: Format, option: str) -> None:
    """Each option changes what is read or what is refused, or is itself refused by name."""
    known = [event.replace(labels=np.maximum(event.labels, 0)) for event in EVENTS[:1]]
    path = make(kind, tmp_path, known)
    (usual,) = open_events(path)
    if option not in kind.options:
        with pytest.raises(
            ValueError, match=rf"{path.name}: {option} is an option for .*; leave it out for {kind.name}"
        ):
            open_events(path, **{option: VALUES[option]})
        return
    if option == "voxel_size":
        assert open_events(path, voxel_size=4.0)[0].voxel_size == 4.0 != usual.voxel_size
    elif option == "truth_means":
        (event,) = open_events(path, truth_means="shapes")
        assert event.label_names == numbering.SHAPE_NAMES != usual.label_names
    else:
        with pytest.raises(EventFileError, match=rf"{path.name}: .*no .*{VALUES[option]}"):
            open_events(path, **{option: VALUES[option]})


def test_three_planes_are_read_together_or_singly(tmp_path: Path) -> None:
    """Files like CosmicTagger's: wires, with labels of its own three classes beside them."""
    planes = [random_event(seed, shape=(20, 9)) for seed in range(6)]
    kinds = [np.random.default_rng(seed).integers(0, 3, 60) for seed in range(6)]
    groups = {
        "sparse2d_sbndwire_group": [[(plane, plane.energy) for plane in planes[3 * i : 3 * i + 3]] for i in range(2)],
        "sparse2d_sbnd_cosmicseg_group": [list(zip(planes, kinds, strict=True))[3 * i : 3 * i + 3] for i in range(2)],
    }
    path = write_larcv3(tmp_path / "planes.h5", groups)
    with pytest.raises(EventFileError, match=r"it has \['sparse2d_sbndwire_group'.*--energies NAME|--energies NAME"):
        open_events(path)
    names = {"energies": "sparse2d_sbndwire_group", "truth": "sparse2d_sbnd_cosmicseg"}
    assert all((event.labels == -1).all() for event in open_events(path, energies="sparse2d_sbndwire"))
    with open_events(path, **names) as events:
        assert len(events) == 6
        for event, plane, kind in zip(events, planes, kinds, strict=True):
            assert labels_of(event, plane, kind)
            assert event.label_names == numbering.NUMBERS
    with open_events(path, **names, projection=1) as events:
        assert [event.name for event in events] == ["planes.h5:0:1", "planes.h5:1:1"]
        assert labels_of(events[1], planes[4], kinds[4])
    with pytest.raises(EventFileError, match=r"no image of projection 3; the file has \[0, 1, 2\]"):
        open_events(path, projection=3, **names)


def test_an_entry_without_the_projection_is_an_empty_event(tmp_path: Path) -> None:
    planes = [random_event(seed, shape=(20, 9)) for seed in range(3)]
    images = [(plane, plane.energy) for plane in planes]
    path = write_larcv3(tmp_path / "planes.h5", {"sparse2d_wire_group": [images[:1], images[:2], []]})
    with open_events(path, projection=1) as events:
        assert [len(event) for event in events] == [0, 60, 0]
        assert {event.spatial_shape for event in events} == {(20, 9)}


def test_arrays_and_columns_can_be_named(tmp_path: Path) -> None:
    columns = {"x": np.arange(4), "y": np.arange(4), "z": np.arange(4), "charge": np.ones(4), "kind": np.arange(4) + 7}
    np.savez(tmp_path / "plain.npz", **columns)
    rows = np.column_stack(list(columns.values()))
    np.savetxt(tmp_path / "plain.csv", rows, delimiter=",", header=",".join(columns), comments="", fmt="%g")
    for name in ("plain.npz", "plain.csv"):
        with pytest.raises(EventFileError, match=rf"{name}: .*no (array|column) value"):
            open_events(tmp_path / name)
        (event,) = open_events(tmp_path / name, energies="charge")
        assert (event.labels.tolist(), event.label_names) == ([-1] * 4, CLASS_NAMES)
        (event,) = open_events(tmp_path / name, energies="charge", truth="kind")
        assert ([event.label_names[label] for label in event.labels], event.energy.tolist()) == (
            ["7", "8", "9", "10"],
            [1.0] * 4,
        )
        with pytest.raises(EventFileError, match=rf"{name}: event 0: .*'?7'?.*label|label.* 7"):
            list(open_events(tmp_path / name, energies="charge", truth="kind", truth_means="shapes"))


BAD = {
    "meaning": ({"truth_means": "mine"}, "truth_means must be one of five-types, shapes, numbers, got 'mine'"),
    "meaning of nothing": ({"truth": "none", "truth_means": "shapes"}, "truth_means has no effect with truth=none"),
    "size": ({"voxel_size": 0.0}, "voxel_size must be a positive length in mm, got 0.0"),
    "projection": ({"projection": -1}, "projection must be 0 or more, got -1"),
    "empty": ({"energies": ""}, "energies must be a name, got an empty string"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_values_are_refused_before_the_file_is_opened(name: str) -> None:
    options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        open_events("none.h5", **options)


def test_labels_of_unknown_meaning_are_shown_as_numbers_everywhere(spine: Path, tmp_path: Path) -> None:
    with open_events(spine, **SPINE) as events:
        inspection = inspect_events(events, "spine.root")
        event = events[0]
    assert [name for name, *_ in inspection.classes] == ["0", "1", "2", "3", "4", "5", "unknown"]
    assert ("labels", "numbers of unknown meaning") in inspection.rows
    (panel,) = make_panels(event, "label", None)
    assert [layer.name for layer in panel.layers] == ["0", "1", "2", "3", "4", "5"]
    assert sum(len(layer.rows) for layer in panel.layers) == 200
    page, text = plot_event(event).to_json(), inspection.text() + inspection.page()
    for name in (*CLASS_NAMES, "track"):
        assert name not in page
        assert name not in text
    draw_event(event)
    assert project(event, "y").label_names == numbering.NUMBERS
    assert all(np.isnan(statistics([event])[f"share_{name}"]).all() for name in CLASS_NAMES)
    with pytest.raises(ValueError, match=r"spine\.root:0: labels=attached needs labels HIP.*--truth_means"):
        relabel(event, "attached")
    with create_events(tmp_path / "copy.npz") as writer:
        writer.append(event)
    (copy,) = open_events(writer.path)
    assert same_event(copy, event, particles=False)
    assert copy.label_names == numbering.NUMBERS
    for name in ("copy.h5", "copy.csv"):
        message = r"can contain only labels HIP.* numbers of unknown meaning: write \.npz"
        with pytest.raises(ValueError, match=message), create_events(tmp_path / name) as writer:
            writer.append(event)


def test_shapes_have_names_and_distinguish_tracks_from_showers(spine: Path) -> None:
    with open_events(spine, **SPINE, truth_means="shapes") as events:
        inspection, event = inspect_events(events, "spine.root"), events[0]
    assert [name for name, *_ in inspection.classes] == [*numbering.SHAPE_NAMES, "unknown"]
    (panel,) = make_panels(event, "label", None)
    assert [layer.name for layer in panel.layers] == list(numbering.SHAPE_NAMES)
    two = numbering.as_named(np.arange(-1, 6), numbering.TWO_CLASSES, numbering.SHAPE_NAMES)
    assert two.tolist() == [-1, 1, 0, 1, 1, -1, -1]
    for names in (numbering.SHAPE_NAMES, numbering.NUMBERS):
        with pytest.raises(ValueError, match="which do not determine HIP, MIP"):
            numbering.as_named(np.zeros(3, int), CLASS_NAMES, names)


COMMANDS = ("inspect", "display", "convert", "predict", "train", "evaluate", "statistics", "study", "bench", "scaling")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_reads_events_has_the_options(name: str) -> None:
    assert issubclass(cli.COMMANDS[name].options_class(), ReadingOptions)  # type: ignore[arg-type]


def test_the_reading_options_equal_those_of_open_events() -> None:
    from inspect import signature

    assert [*signature(open_events).parameters][-len(READING) :] == READING


@pytest.mark.parametrize("name", ["train", "study", "bench", "scaling"])
def test_names_in_files_are_refused_without_a_file(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, err = sscn(capsys, name, "--truth", "none")
    assert (code, out) == (2, "")
    assert err.startswith(f"sscn {name}: truth applies to event files, not to simulated events")


def test_commands_read_files_of_other_programs(capsys: pytest.CaptureFixture[str], spine: Path, tmp_path: Path) -> None:
    code, out, _ = sscn(capsys, "inspect", spine, *WORDS, "--truth_means", "shapes")
    assert code == 0
    assert "low-energy" in out
    for words in (
        ("display", spine, "--out", tmp_path / "event.html"),
        ("convert", spine, tmp_path / "copy.npz"),
        ("statistics", spine, "--events", 1, "--size", 16, "--out", tmp_path / "page.html"),
    ):
        code, _, err = sscn(capsys, *words, *WORDS)
        assert code == 0, err
    code, _, err = sscn(capsys, "inspect", spine)
    assert (code, err.count("\n")) == (2, 1)
    assert "--energies NAME" in err


def test_networks_read_files_of_other_programs(capsys: pytest.CaptureFixture[str], spine: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from tests.study.training.test_prediction import make_checkpoint

    five = make_checkpoint(tmp_path / "five.ckpt", image=16, labels="attached")
    two = make_checkpoint(tmp_path / "two.ckpt", image=16, classes="two")
    no_truth = ("--energies", SPINE["energies"], "--truth", "none", "--particles", "none")
    code, out, _ = sscn(capsys, "predict", spine, "--checkpoint", five, "--out", tmp_path / "a.h5", *no_truth)
    assert (code, out.splitlines()[-1]) == (0, f"{tmp_path / 'a.h5'}: 3 events, labels unknown")
    for numbers, checkpoint in enumerate((five, two)):
        out_file = tmp_path / f"n{numbers}.npz"
        code, out, _ = sscn(capsys, "predict", spine, "--checkpoint", checkpoint, "--out", out_file, *WORDS)
        assert (code, out.splitlines()[-1]) == (0, f"{out_file}: 3 events, labels unknown")
        assert sscn(capsys, "inspect", out_file)[0] == 0
        assert sscn(capsys, "display", out_file, "--out", tmp_path / f"a{numbers}.html")[0] == 0
        code, _, err = sscn(capsys, "display", out_file, "--color", "difference", "--out", tmp_path / "b.html")
        assert (code, err.count("\n")) == (2, 1)
        assert "labels are numbers of unknown meaning" in err
    shapes = (*WORDS, "--truth_means", "shapes")
    code, out, _ = sscn(capsys, "predict", spine, "--checkpoint", two, "--out", tmp_path / "s.npz", *shapes)
    assert code == 0
    assert "nonzero accuracy" in out
    code, out, _ = sscn(capsys, "evaluate", "--checkpoint", two, "--data", spine, *shapes)
    assert code == 0
    code, _, err = sscn(capsys, "evaluate", "--checkpoint", five, "--data", spine, *WORDS)
    assert code == 2
    assert err.splitlines()[-1].startswith("sscn evaluate: spine.root:0: labels=attached needs labels HIP")


def test_a_training_reads_files_of_other_programs(spine: Path) -> None:
    pytest.importorskip("lightning")
    from sscn_triton.study.data.datamodule import load_sources
    from sscn_triton.study.training.config import TrainConfig

    config = TrainConfig(data=str(spine), classes="two", truth_means="shapes", **SPINE)  # type: ignore[arg-type]
    train, held_out = load_sources(config)
    assert {name for source in (train, held_out) for event in source for name in event.label_names} == {
        "track",
        "shower",
    }
    config = dataclasses.replace(config, classes="five")
    with pytest.raises(ValueError, match=r"spine\.root:\d: labels are shower, track.*which do not determine HIP"):
        load_sources(config)[0][0]


def test_every_registered_format_has_a_case() -> None:
    assert MAKERS.keys() == {kind.name for kind in FORMATS}
