"""The same voxels, read from a window alone and from the whole image around it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sscn_triton.common.output import as_json
from sscn_triton.lartpc import CLASS_NAMES, simulate
from sscn_triton.study.questions import image_edge
from sscn_triton.study.questions.image_edge import Setting, gain, logits_of, main, measure, middle
from sscn_triton.study.training.checkpoint import load_checkpoint, save_checkpoint
from sscn_triton.study.training.networks import NetworkSettings, make_network

TINY = ["--window", "32", "--whole", "64", "--events", "2", "--seed", "3"]


def vertex(index: int) -> bool:
    """Whether the first particle of event `index` of seed 3 starts in the middle half of the image of 64 voxels."""
    start = simulate(3, index, 64).particles["start"][0] / 3  # voxels of 3 mm
    return bool(((start >= 16) & (start < 48)).all())


def test_only_events_with_their_vertex_in_the_window_are_judged() -> None:
    network = make_network(NetworkSettings("sparse", filters=1, depth=2, repetitions=1), 0).eval()
    having = [index for index in range(100) if vertex(index)]
    assert 5 < len(having) < 30  # about an eighth
    found = measure(network, Setting(32, 64, 4, 3, 10))
    assert found["simulated"] == having[3] + 1
    windows = [middle(simulate(3, index, 64), 32)[0] for index in having[:4]]
    assert found["window"]["voxels"] == sum(map(len, windows))


def test_the_window_is_the_middle_of_the_image_with_its_own_voxels() -> None:
    event = simulate(3, 1, 64)
    window, inside = middle(event, 32)
    np.testing.assert_array_equal(window.coordinates + 16, event.coordinates[inside])
    np.testing.assert_array_equal(window.labels, event.labels[inside])
    assert 0 < len(window) < len(event)
    assert window.spatial_shape == (32, 32, 32)


def test_a_network_that_sees_no_neighbours_gains_nothing_and_a_unet_reads_the_surroundings() -> None:
    class Alone(torch.nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return x.replace(torch.cos(x.features * torch.arange(1.0, 6.0)))

    setting = Setting(32, 64, 3, 3)
    alone = measure(Alone(), setting)
    assert alone["gain"]["nonzero"][:2] == [0, 0]
    assert as_json(alone["window"]) == as_json(alone["whole"])
    torch.manual_seed(0)
    network = make_network(NetworkSettings("sparse", filters=2, depth=3, repetitions=1), 0).eval()
    event = simulate(3, 1, 64)
    window, inside = middle(event, 32)
    assert not torch.allclose(logits_of(network, window), logits_of(network, event)[inside])
    found = measure(network, setting)
    assert found["window"]["voxels"] == found["whole"]["voxels"] == sum(map(sum, found["window"]["confusion"]))
    assert found["voxels_of_whole_images"] > found["window"]["voxels"]
    assert found["simulated"] >= 3
    assert found["window"]["loss"] != found["whole"]["loss"]


def test_windows_with_few_voxels_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network(NetworkSettings("sparse", filters=1, depth=2, repetitions=1), 0).eval()
    having = [index for index in range(100) if vertex(index)]
    lengths = [len(middle(simulate(3, index, 64), 32)[0]) for index in having]
    least = sorted(lengths)[len(lengths) // 2]
    used = [index for index, length in enumerate(lengths) if length >= least]
    longest = max(second - first for first, second in zip([-1, *used], used, strict=False))
    assert longest < used[-1]
    monkeypatch.setattr(image_edge, "TRIES", longest)  # more than the few in a row, less than all of them
    found = measure(network, Setting(32, 64, len(used), 3, least))
    assert found["simulated"] == having[used[-1]] + 1
    assert found["window"]["voxels"] <= sum(lengths[index] for index in used)


def test_the_gain_is_a_mean_over_events_with_its_standard_error() -> None:
    def confusion(right: int, wrong: int) -> np.ndarray:
        found = np.zeros((5, 5), dtype=int)
        found[1, 1], found[1, 2] = right, wrong
        return found

    found = gain([confusion(5, 5), confusion(10, 0)], [confusion(9, 1), confusion(8, 2)])
    assert found["nonzero"] == pytest.approx([0.1, 0.3, 2])  # gains 0.4 and -0.2
    assert found["MIP"] == found["nonzero"]
    assert np.isnan(found["HIP"][:2]).all()
    assert found["HIP"][2] == 0


def test_the_command_writes_its_record_and_does_not_replace_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "edge.json"
    assert main(["--checkpoint", "lartpc-192", "--out", str(out), *TINY]) == 0
    record = json.loads(out.read_text())
    assert record["setting"] == asdict(Setting(32, 64, 2, 3))
    assert record["network"]["checkpoint"] == "lartpc-192"
    assert set(record["gain"]) == {"nonzero", *CLASS_NAMES}
    assert "points (standard error over 2 events)" in capsys.readouterr().out
    assert main(["--checkpoint", "lartpc-192", "--out", str(out), *TINY]) == 2
    assert "out must be a new file" in capsys.readouterr().err


def test_wrong_settings_and_networks_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ["--out", str(tmp_path / "edge.json")]
    for arguments, message in [
        (["--window", "64", "--whole", "64"], "whole must be more than the window of 64 voxels, got 64"),
        (["--events", "1"], "events must be at least 2, got 1"),
        (["--minimum_voxels", "100000"], "of 5 windows in a row, none has minimum_voxels=100000 active voxels"),
    ]:
        monkeypatch.setattr(image_edge, "TRIES", 5)
        assert main(["--checkpoint", "lartpc-192", *out, *TINY, *arguments]) == 2
        assert message in capsys.readouterr().err
    known = load_checkpoint("lartpc-192")
    others = tuple(sorted(known.classes))
    for changed, message in [
        (replace(known, settings={**known.settings, "labels": "attached"}), "was trained with labels=attached; needs"),
        (replace(known, classes=others), f"with classes {', '.join(others)}; needs a sparse one in 3 dimensions"),
    ]:
        save_checkpoint(changed, tmp_path / "changed.ckpt")
        assert main(["--checkpoint", str(tmp_path / "changed.ckpt"), *out, *TINY]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "edge.json").exists()
    assert image_edge.SEEN == ("window", "whole")
