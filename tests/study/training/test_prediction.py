"""A trained network labels a file: scores and classes of every voxel beside the truth, completely or not at all."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("h5py")
pytest.importorskip("lightning")
from sscn_triton import SparseTensor, __version__, cli
from sscn_triton.lartpc import (
    Event,
    EventFileError,
    PilarnetWriter,
    Prediction,
    create_events,
    crop,
    numbering,
    open_events,
    relabel,
)
from sscn_triton.study.data.batches import ENERGY_UNIT
from sscn_triton.study.data.labels import class_names, project
from sscn_triton.study.training.checkpoint import Checkpoint, load_network, save_checkpoint
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.networks import NetworkSettings, make_network
from tests.support.events.files import random_event, same_event

SHAPE = (16, 16, 16)


def sscn(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sscn WORDS`."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def make_checkpoint(path: Path, **options: object) -> Path:
    """A checkpoint of an untrained network, as `sscn train` with these options would save it."""
    config = TrainConfig(filters=2, depth=2, repetitions=1, **options)  # type: ignore[arg-type]
    names = class_names(config.classes)
    settings = NetworkSettings(config.network, 1, len(names), 2, 2, 1, config.ndim)
    network = make_network(settings, seed=1)
    for module in network.modules():  # so that not all voxels get one class
        if isinstance(module, torch.nn.Linear | torch.nn.Conv3d):
            torch.nn.init.normal_(module.weight)
    save_checkpoint(
        Checkpoint(asdict(config), settings, names, ENERGY_UNIT, 1, 1, network.state_dict(), {}, __version__),
        path,
    )
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Three events, the second empty."""
    with PilarnetWriter(tmp_path / "events.h5", seed=9) as writer:
        for seed, count in enumerate((300, 0, 50)):
            writer.append(random_event(seed, count, SHAPE))
    return writer.path


def expected(checkpoint: Path, event: Event) -> np.ndarray:
    """Scores of the voxels, by the network alone."""
    network = load_network(checkpoint)
    sites = np.column_stack([np.zeros(len(event), int), event.coordinates])
    x = SparseTensor(torch.tensor(event.energy[:, None] / ENERGY_UNIT), torch.tensor(sites), event.spatial_shape, 1)
    with torch.no_grad():
        if hasattr(network, "load_sparse_weights"):
            logits = network(x.dense())[(0, slice(None), *event.coordinates.T)].T
        else:
            logits = network(x).features
    return torch.softmax(logits, 1).numpy()


@pytest.mark.parametrize("network", ["sparse", "matched"])
@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_the_file_has_the_networks_scores_of_every_voxel(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, events: Path, suffix: str, network: str
) -> None:
    checkpoint, out = make_checkpoint(tmp_path / "a.ckpt", network=network, image=16), tmp_path / f"labelled{suffix}"
    code, said, _ = sscn(capsys, "predict", events, "--checkpoint", checkpoint, "--out", out)
    assert code == 0
    shares, seen = [], set()
    for event, original in zip(open_events(out), open_events(events), strict=True):
        assert same_event(event, original, particles=suffix == ".h5")
        assert event.prediction is not None
        np.testing.assert_allclose(event.prediction.scores, expected(checkpoint, event), atol=1e-5)
        np.testing.assert_array_equal(event.prediction.labels, event.prediction.scores.argmax(1))
        seen |= set(event.prediction.labels.tolist())
        if len(event):
            known = event.labels >= 0
            shares.append((event.prediction.labels == event.labels)[known].mean())
    assert len(seen) > 1
    assert said.startswith(f"{out}: 3 events, nonzero accuracy {100 * np.mean(shares):.2f} % (mean over events; ")
    if suffix == ".h5":
        assert open_events(out).attributes["seed"] == 9


def test_the_truth_is_converted_to_the_labels_of_the_network(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, events: Path
) -> None:
    checkpoint = make_checkpoint(tmp_path / "a.ckpt", classes="two", labels="attached", ndim=2)
    out = tmp_path / "labelled.npz"
    assert sscn(capsys, "predict", events, "--checkpoint", checkpoint, "--out", out)[0] == 0
    for event, original in zip(open_events(out), open_events(events), strict=True):
        flat = project(relabel(original, "attached"), 2)
        assert same_event(event, flat, particles=False)
        assert event.prediction is not None
        assert event.prediction.names == ("track", "shower")
        assert event.prediction.scores.shape == (len(flat), 2)


def test_predictions_follow_their_voxels(tmp_path: Path) -> None:
    event = random_event(0, 100, SHAPE)
    scores = np.random.default_rng(0).random((100, 5))
    event = event.replace(prediction=Prediction(scores.argmax(1), scores))
    key = {tuple(site): row for site, row in zip(event.coordinates.tolist(), scores.astype(np.float32), strict=True)}
    part = crop(event, 8)
    assert 0 < len(part) < 100
    moved = part.coordinates + np.round((part.origin - event.origin) / 3.0).astype(int)
    files = [write(tmp_path / name, [event]) for name in ("a.h5", "a.npz")]
    whole = [(one.coordinates, one) for path in files for one in open_events(path)]
    for coordinates, one in [(moved, part), *whole]:
        assert one.prediction is not None
        for site, row, label in zip(coordinates.tolist(), one.prediction.scores, one.prediction.labels, strict=True):
            np.testing.assert_array_equal(row, key[tuple(site)])
            assert label == row.argmax()
    assert event.replace(coordinates=event.coordinates[::-1]).prediction is None


def write(path: Path, events: list[Event]) -> Path:
    with create_events(path) as writer:
        for event in events:
            writer.append(event)
    return path


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_a_file_contains_predictions_of_all_events_or_of_no_event(tmp_path: Path, suffix: str) -> None:
    plain, scores = random_event(0), np.full((60, 5), 0.2)
    labelled = plain.replace(prediction=Prediction(np.zeros(60, int), scores))
    two = plain.replace(prediction=Prediction(np.zeros(60, int), scores[:, :2], numbering.TWO_CLASSES))
    five = "a prediction of HIP, MIP, shower, delta, Michel"
    for first, second, words in (
        (plain, labelled, f"got {five} after no prediction"),
        (labelled, plain, f"got no prediction after {five}"),
        (labelled, two, f"got a prediction of track, shower after {five}"),
    ):
        with pytest.raises(ValueError, match=f"predictions of the same classes, or none has: {words}"):
            write(tmp_path / f"a{suffix}", [first, second])
    assert list(tmp_path.iterdir()) == []


def test_a_table_with_half_a_prediction_is_refused(tmp_path: Path) -> None:
    event = random_event(0)
    whole = write(tmp_path / "a.npz", [event.replace(prediction=Prediction(np.zeros(60, int), np.full((60, 5), 0.2)))])
    with np.load(whole) as file:
        np.savez(tmp_path / "half.npz", **{name: file[name] for name in file.files if name != "0/scores"})
    with pytest.raises(
        EventFileError, match=r"half\.npz: event 0: the arrays predicted, scores, classes must all exist"
    ):
        open_events(tmp_path / "half.npz")[0]


def test_an_invalid_prediction_is_refused() -> None:
    scores = np.full((60, 5), 0.2)
    with pytest.raises(ValueError, match=r"scores must be \[voxels, 5\] real numbers"):
        Prediction(np.zeros(60, int), scores[:, :4])
    with pytest.raises(ValueError, match=r"predicted labels must be \[60\]"):
        Prediction(np.zeros(59, int), scores)
    with pytest.raises(ValueError, match="predicted labels of row 0 is 5"):
        Prediction(np.full(60, 5), scores)
    with pytest.raises(ValueError, match="scores must be finite"):
        Prediction(np.zeros(60, int), scores * np.nan)
    with pytest.raises(ValueError, match="prediction must have 60 voxels, got 59"):
        random_event(0).replace(prediction=Prediction(np.zeros(59, int), scores[:59]))
    with pytest.raises(
        ValueError, match=r"classes must be HIP, MIP, .* or track, shower or shower, track, .*, got a, b"
    ):
        numbering.as_named(np.zeros(3, int), ("a", "b"))


def test_labels_of_two_classes_are_those_of_the_five() -> None:
    labels = np.array([0, 1, 2, 3, 4, -1])
    assert numbering.as_named(labels, numbering.TWO_CLASSES).tolist() == [0, 0, 1, 1, 1, -1]
    assert numbering.as_named(labels, numbering.CLASS_NAMES).tolist() == labels.tolist()


@pytest.mark.parametrize("names", [numbering.CLASS_NAMES, numbering.TWO_CLASSES])
def test_inspect_counts_correct_predictions(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, names: tuple[str, ...]
) -> None:
    labelled, right, of_class = [], [], np.zeros((len(names), 2))
    for seed, count in enumerate((60, 0, 30)):
        event, rng = random_event(seed, count), np.random.default_rng(seed)
        guess = rng.integers(0, len(names), count)
        labelled.append(event.replace(prediction=Prediction(guess, np.eye(len(names))[guess], names)))
        truth = numbering.as_named(event.labels, names)
        if count:
            right.append((guess == truth)[truth >= 0].mean())
        for label in range(len(names)):
            of_class[label] += [(guess == truth)[truth == label].sum(), (truth == label).sum()]
    page = tmp_path / "page.html"
    code, out, _ = sscn(capsys, "inspect", write(tmp_path / "a.h5", labelled), "--out", page)
    assert code == 0
    shares = ", ".join(f"{name} {100 * a / b:.1f}" for name, (a, b) in zip(names, of_class, strict=True))
    for line in (f"nonzero accuracy [%]        {100 * np.mean(right):.2f}", f"class accuracy [%]          {shares}"):
        assert line in out
    assert shares in page.read_text()
    assert sscn(capsys, "inspect", write(tmp_path / "plain.h5", [random_event(0)]))[1].count("accuracy") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["events.h5", "--checkpoint", "none.ckpt"], "none.ckpt: no such file"),
        (["events.h5", "--checkpoint", "events.h5"], "events.h5: not a checkpoint"),
        (["none.h5", "--checkpoint", "a.ckpt"], "none.h5: no such file"),
        (
            ["events.h5", "--checkpoint", "a.ckpt", "--out", "a.csv"],
            "out must end with .h5 or .hdf5 or .npz, got a.csv",
        ),
        (
            ["events.h5", "--checkpoint", "a.ckpt", "--out", "events.h5"],
            "out must be a new file, but events.h5 already exists",
        ),
        (["events.h5", "--checkpoint", "flat.ckpt"], "PILArNet-M can contain only three-dimensional events"),
        (["odd.npz", "--checkpoint", "dense.ckpt"], "odd.npz: 0:0: image must be divisible by 2"),
    ],
)
def test_a_file_that_cannot_be_labelled_gives_one_line_and_no_output(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    events: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "a.ckpt")
    make_checkpoint(tmp_path / "flat.ckpt", ndim=2)
    make_checkpoint(tmp_path / "dense.ckpt", network="matched", image=16)
    with create_events("odd.npz") as writer:
        writer.append(random_event(0))
    before = sorted(path.name for path in tmp_path.iterdir())
    code, _, err = sscn(capsys, "predict", *words)
    assert code == 2
    assert err.splitlines()[-1].startswith(f"sscn predict: {message}")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
