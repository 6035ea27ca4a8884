"""A trained network is packaged with a model card whose numbers are its record's, and every command accepts it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("lightning")

from sscn_triton import SparseTensor, cli, lartpc, models
from sscn_triton.common.units import percent
from sscn_triton.lartpc import create_events, open_events, simulate
from sscn_triton.models import SparseUResNet, packaged
from sscn_triton.models.pretrained import folder_of, read_folder
from sscn_triton.study.training import packaging
from sscn_triton.study.training.checkpoint import load_checkpoint
from sscn_triton.study.training.model_card import model_card
from tests.study.training.test_prediction import sscn

NAME = "lartpc-192"
RESULTS = Path(__file__).parents[3] / "book" / "results"


def record_of(name: str) -> dict[str, object]:
    stored = read_folder(folder_of(name))
    return json.loads((RESULTS / f"{stored.about['record']}.json").read_text())  # type: ignore[no-any-return]


def labels(network: SparseUResNet, event: lartpc.Event) -> np.ndarray:
    coordinates, energy, _ = map(torch.from_numpy, lartpc.collate([event]))
    with torch.no_grad():
        x = SparseTensor(energy / network.about["energy_unit"], coordinates)
        return network(x).features.argmax(1).numpy()  # type: ignore[no-any-return]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    with create_events(tmp_path / "events.h5") as writer:
        for index in range(2):
            writer.append(simulate(900, index, size=32, minimum_voxels=20))
    return writer.path


@pytest.mark.parametrize("name", packaged())
def test_the_model_card_is_written_from_the_record(name: str) -> None:
    """If its text changes: `python -m sscn_triton.study.training.packaging RECORD.json FOLDER` writes it again."""
    record, folder = record_of(name), folder_of(name)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card == model_card(name, record, read_folder(folder))
    for score in record["scores"]:  # type: ignore[attr-defined]
        for value in (score["nonzero_accuracy"], *score["class_accuracy"]):
            assert percent(value) in card
    seeds = [one["seed"] for one in record["simulations"]]  # type: ignore[attr-defined]
    assert f"seeds {', '.join(map(str, seeds))})" in card


def test_the_model_card_says_if_the_training_had_the_seed_of_the_scores() -> None:
    record = record_of(NAME)
    record["simulations"][1]["seed"] = record["scores"][0]["simulations"][0]["seed"]  # type: ignore[index]
    card = model_card(NAME, record, read_folder(folder_of(NAME)))
    name = record["scores"][0]["data"]  # type: ignore[index]
    assert f"`{name}` was simulated with a seed of the training events, so it may contain some of them." in card
    assert "with which nothing was trained" not in card


@pytest.mark.parametrize("name", packaged())
def test_the_packaged_network_is_that_of_its_record(name: str) -> None:
    record, checkpoint = record_of(name), load_checkpoint(name)
    assert checkpoint.step == record["stages"][-1]["steps"] == record["scores"][0]["step"]  # type: ignore[index]
    assert checkpoint.data == record["stages"][-1]["trained_on"]  # type: ignore[index]


def test_half_precision_changes_one_label_in_a_thousand_at_most(pilarnet_file: Path) -> None:
    """The record counts the labels that the weights in full precision gave. Eight of 27,382 voxels differed when the
    network was packaged."""
    network = SparseUResNet.from_pretrained(NAME)
    counts = np.zeros((5, 5), int)
    for event in open_events(pilarnet_file):
        known = event.labels >= 0
        np.add.at(counts, (event.labels[known], labels(network, event)[known]), 1)
    (score,) = (one for one in record_of(NAME)["scores"] if one["data"] == pilarnet_file.name)  # type: ignore[attr-defined]
    assert counts.sum(1).tolist() == np.sum(score["confusion"], 1).tolist()
    assert np.abs(counts - score["confusion"]).sum() / 2 <= counts.sum() / 1000


def test_commands_read_a_packaged_network_by_its_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sscn(capsys, "predict", events, "--checkpoint", NAME, "--out", "labelled.h5")[0] == 0
    network = SparseUResNet.from_pretrained(NAME)
    right = []
    for event, original in zip(open_events("labelled.h5"), open_events(events), strict=True):
        assert event.prediction is not None
        right.append((event.prediction.labels == event.labels).mean())
        expected = dict(zip(map(tuple, original.coordinates.tolist()), labels(network, original), strict=True))
        assert [expected[tuple(site)] for site in event.coordinates.tolist()] == event.prediction.labels.tolist()
    code, out, _ = sscn(capsys, "evaluate", "--checkpoint", NAME, "--data", events)
    assert code == 0
    judged = json.loads(out)
    assert judged["nonzero_accuracy"] == pytest.approx(np.mean(right))
    assert judged["simulations"] == []  # not a file of `sscn simulate`
    words = ["--data", events, "--start", NAME, "--steps", 1, "--batch", 1, "--tensorboard", "false"]
    assert sscn(capsys, "train", *words, "--learning_rate", 1e-9)[0] == 0
    before, after = (load_checkpoint(one).weights["stem.weight"] for one in (NAME, "training/final.ckpt"))
    torch.testing.assert_close(after, before.float(), rtol=0, atol=1e-8)


def test_commands_read_a_folder_that_says_enough(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that a user trained without `sscn train`."""
    monkeypatch.chdir(tmp_path)
    network = SparseUResNet(filters=2, depth=2, repetitions=1, num_classes=2, ndim=2)
    about = {"classes": ["track", "shower"], "energy_unit": 1}
    network.save_pretrained("mine", about)
    assert sscn(capsys, "predict", events, "--checkpoint", "mine", "--out", "labelled.npz")[0] == 0
    network.save_pretrained("mine.pt", about)
    assert load_checkpoint("mine.pt").network.ndim == 2
    event = open_events("labelled.npz")[0]
    assert event.prediction is not None
    assert event.ndim == 2
    assert event.prediction.names == ("track", "shower")
    for wrong, message in [
        ({"classes": ["a", "b"]}, "config.json: about has no energy_unit: SparseUResNet.save_pretrained says"),
        ({}, "config.json: about has no classes and no energy_unit"),
        ({**about, "classes": ["a"]}, "model.safetensors: 1 classes for a network of 2 outputs"),
        (
            {**about, "classes": ["a", "b"]},
            "mine: classes must be HIP, MIP, shower, delta, Michel or track, shower or shower, track, Michel, delta, "
            "low-energy, got a, b",
        ),
        ({**about, "classes": 5}, "config.json: not a checkpoint of this package: classes is int"),
        ({**about, "energy_unit": "MeV"}, "config.json: not a checkpoint of this package: energy_unit is str"),
        ({**about, "training": 3}, "config.json: not a checkpoint of this package: settings is int"),
        ({**about, "training": {"speed": 3}}, "config.json: unknown entry about.training.speed"),
    ]:
        network.save_pretrained("mine", wrong, overwrite=True)
        code, _, told = sscn(capsys, "predict", events, "--checkpoint", "mine", "--out", "new.npz")
        assert code == 2
        assert message in told
        assert told.count("\n") == 1
    assert not Path("new.npz").exists()


@pytest.mark.parametrize("words", [["predict", "{}"], ["evaluate", "--data", "{}"]])
def test_an_unknown_name_gives_one_line_with_the_known_ones(
    capsys: pytest.CaptureFixture[str], events: Path, words: list[str]
) -> None:
    given = [word.format(events) for word in words]
    code, _, told = sscn(capsys, *given, "--checkpoint", "lartpc-512")
    assert code == 2
    assert told == f"sscn {words[0]}: lartpc-512: no such folder; the networks of this package are lartpc-192\n"


def test_the_start_of_a_training_must_be_a_network_of_the_same_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, told = sscn(capsys, "train", "--data", events, "--start", NAME, "--filters", 3)
    assert (code, told) == (2, f"sscn train: start: {NAME} has a network of filters=16, not 3\n")


def test_the_command_writes_the_model_card_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / NAME
    shutil.copytree(folder_of(NAME), folder)
    whole = (folder / "README.md").read_text()
    (folder / "README.md").write_text("old")
    record = RESULTS / f"{read_folder(folder).about['record']}.json"
    assert packaging.main([str(record), str(folder)]) == 0
    assert (folder / "README.md").read_text() == whole
    other = tmp_path / "other.json"
    other.write_text(record.read_text())
    assert packaging.main([str(other), str(folder)]) == 2
    assert f"{folder}: belongs to the record {record.stem} of another network than" in capsys.readouterr().err
    older = json.loads(record.read_text())
    older["stages"][-1]["passes"] -= 1
    (tmp_path / record.name).write_text(json.dumps(older))  # another training had the same name
    assert packaging.main([str(tmp_path / record.name), str(folder)]) == 2
    assert "of another network than" in capsys.readouterr().err
    for damaged in ([], {}, older | {"stages": []}, older | {"scores": [{}]}, older | {"network": None}):
        other.write_text(json.dumps(damaged))
        assert packaging.main([str(other), str(folder)]) == 2
        assert f"{other}: not a record of a training in stages (" in capsys.readouterr().err
    assert (folder / "README.md").read_text() == whole


def test_every_option_for_a_checkpoint_says_what_it_accepts() -> None:
    for command in ("predict", "evaluate", "train"):
        text = cli.COMMANDS[command].options_class().__doc__
        assert text is not None
        assert NAME in text


@pytest.mark.parametrize(
    ("stored", "described"), [("SparseUResNet", "DenseUResNet"), ("DenseUResNet", "SparseUResNet")]
)
def test_a_folder_must_name_the_class_of_its_network(stored: str, described: str, tmp_path: Path) -> None:
    network = getattr(models, stored)(filters=2, depth=2, repetitions=1).eval()
    network.save_pretrained(tmp_path / "net", {"classes": list(lartpc.CLASS_NAMES), "energy_unit": 0.05})
    kind = "sparse" if stored == "SparseUResNet" else "matched"
    assert load_checkpoint(tmp_path / "net").network.kind == kind
    path = tmp_path / "net" / "config.json"
    path.write_text(path.read_text().replace(stored, described))
    with pytest.raises(ValueError, match=rf"config\.json: describes a {described}, which no command of sscn can use"):
        load_checkpoint(tmp_path / "net")
