"""A network of the five types by PILArNet-M's conventions, from the counted voxels and from all of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sscn_triton.lartpc import create_events, numbering, open_events
from sscn_triton.models import SparseUResNet
from sscn_triton.study.analysis.by_conventions import main, readings
from sscn_triton.study.training.config import EvaluateConfig
from sscn_triton.study.training.evaluation import evaluate
from tests.support.events.files import random_event


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A network, and events of which the second has too few points and every one has voxels that do not count."""
    folder = tmp_path_factory.mktemp("conventions")
    with create_events(folder / "events.npz") as writer:
        for seed, count in enumerate((1100, 300, 1200)):
            event = random_event(seed, count, (16, 16, 16))
            writer.append(event.replace(energy=np.linspace(0.05, 1, count)))
    torch.manual_seed(1)
    network = SparseUResNet(num_classes=5, filters=2, depth=2, repetitions=1).eval()
    network.save_pretrained(folder / "network", {"classes": list(numbering.CLASS_NAMES), "energy_unit": 0.05})
    return str(folder / "network"), str(folder / "events.npz")


def test_reading_the_counted_voxels_is_what_evaluate_does(files: tuple[str, str], tmp_path: Path) -> None:
    network, data = files
    out = tmp_path / "conventions.json"
    assert main(["--checkpoint", network, "--data", data, "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    options = EvaluateConfig(network, data, out=str(tmp_path / "a.json"), conventions="pilarnet-m", device="cpu")
    wanted = evaluate(options)
    for name in ("confusion", "nonzero_accuracy", "events", "voxels"):
        assert record["counted"][name] == wanted[name], name
    assert record["counted"]["voxel_metrics"] == json.loads((tmp_path / "a.json").read_text())["voxel_metrics"]
    assert record["all"]["voxels"] == wanted["voxels"]
    assert record["all"]["confusion"] != record["counted"]["confusion"]
    assert record["classes"] == list(numbering.PILARNET_CLASSES)


def test_reading_all_voxels_answers_for_the_counted_ones_in_their_order(files: tuple[str, str]) -> None:
    network = SparseUResNet.from_pretrained(files[0])
    with open_events(files[1]) as events, open_events(files[1], conventions="pilarnet-m") as included:
        whole, counted = events[2], included[1]
    found = readings(network, counted, whole)
    assert len(counted) < len(whole)
    assert len(found["all"]) == len(found["counted"]) == len(counted)
    alone = whole.replace(labels=np.zeros_like(whole.labels))
    again = readings(network, counted, alone)  # the labels do not matter
    torch.testing.assert_close(again["all"], found["all"], rtol=0, atol=0)
    moved = whole.energy.copy()
    moved[whole.energy <= 0.13] = 0.12
    changed = readings(network, counted, whole.replace(energy=moved))
    torch.testing.assert_close(changed["counted"], found["counted"], rtol=0, atol=0)
    assert not torch.equal(changed["all"], found["all"])


def test_other_networks_and_files_without_large_events_are_refused(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, data = files
    out = str(tmp_path / "conventions.json")
    two = SparseUResNet(num_classes=2, filters=2, depth=2, repetitions=1)
    two.save_pretrained(tmp_path / "two", {"classes": list(numbering.TWO_CLASSES), "energy_unit": 0.05})
    with create_events(tmp_path / "small.npz") as writer:
        writer.append(random_event(0, 300, (16, 16, 16)))
    for arguments, message in [
        ([str(tmp_path / "two"), data, out], "two: labels track, shower in 3 dimensions; needs HIP, MIP"),
        ([network, str(tmp_path / "small.npz"), out], "small.npz: has no event of at least 1024 points"),
        ([network, data, str(tmp_path / "a.txt")], "out must end with .json"),
        ([network, str(tmp_path / "none.h5"), out], "none.h5"),
    ]:
        assert main(["--checkpoint", arguments[0], "--data", arguments[1], "--out", arguments[2]]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert not Path(out).exists()
