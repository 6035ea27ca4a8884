"""`sscn evaluate` by PILArNet-M's conventions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sscn_triton import SparseTensor
from sscn_triton.lartpc import create_events, numbering, open_events
from sscn_triton.models import SparseUResNet
from sscn_triton.study.training.config import EvaluateConfig
from sscn_triton.study.training.evaluation import evaluate
from tests.support.events.files import random_event


@pytest.fixture
def events(tmp_path: Path) -> Path:
    with create_events(tmp_path / "events.npz") as writer:
        for seed, count in enumerate((1100, 300, 1200)):
            event = random_event(seed, count, (16, 16, 16))
            writer.append(event.replace(energy=np.linspace(0.05, 1, count)))
    return writer.path


def network(names: tuple[str, ...], folder: Path) -> SparseUResNet:
    torch.manual_seed(1)
    made = SparseUResNet(num_classes=len(names), filters=2, depth=2, repetitions=1).eval()
    made.save_pretrained(folder, about={"classes": list(names), "energy_unit": 0.05})
    return made


@pytest.mark.parametrize("names", [numbering.CLASS_NAMES, numbering.PILARNET_CLASSES])
def test_networks_of_five_types_and_of_shapes_are_judged_in_shapes(
    events: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    made = network(names, tmp_path / "made")
    out = tmp_path / "scores.json"
    options = EvaluateConfig(str(tmp_path / "made"), str(events), out=str(out), conventions="pilarnet-m", device="cpu")
    record = evaluate(options)
    expected, losses = np.zeros((5, 5), int), []
    for event in open_events(events, conventions="pilarnet-m"):
        energy = torch.from_numpy(event.energy / np.float32(0.05))[:, None]
        coordinates = torch.from_numpy(np.pad(event.coordinates, ((0, 0), (1, 0))))
        with torch.no_grad():
            shares = torch.softmax(made(SparseTensor(energy, coordinates, event.spatial_shape)).features, 1)
        if names == numbering.CLASS_NAMES:
            hip, mip, shower, delta, michel = shares.unbind(1)
            shares = torch.stack([shower, hip + mip, michel, delta, torch.zeros_like(hip)], 1)
        known = event.labels >= 0
        np.add.at(expected, (event.labels[known], shares.argmax(1).numpy()[known]), 1)
        losses.append(-np.log(shares.numpy()[known, event.labels[known]]).mean())
    assert record["confusion"] == expected.tolist()
    assert record["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert record["events"] == 2
    assert record["classes"] == list(numbering.PILARNET_CLASSES)
    assert json.loads(out.read_text())["conventions"] == "pilarnet-m"
    f1 = np.array(record["voxel_metrics"]["f1"])
    assert record["voxel_metrics"]["mean_f1"] == pytest.approx(f1[~np.isnan(f1)].mean())


def test_a_network_of_two_classes_cannot_be_judged_in_shapes(events: Path, tmp_path: Path) -> None:
    network(numbering.TWO_CLASSES, tmp_path / "made")
    options = EvaluateConfig(str(tmp_path / "made"), str(events), conventions="pilarnet-m", device="cpu")
    with pytest.raises(
        ValueError, match=r"made: the classes are track, shower, which conventions=pilarnet-m cannot judge: use"
    ):
        evaluate(options)
