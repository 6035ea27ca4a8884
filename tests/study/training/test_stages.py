"""The record of a training in stages follows from the files of its stages."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sscn_triton.lartpc import simulate
from sscn_triton.lartpc.files.pilarnet_writer import PilarnetWriter
from sscn_triton.lartpc.numbering import PILARNET_CLASSES
from sscn_triton.study.data.batches import as_batch
from sscn_triton.study.training.checkpoint import load_checkpoint, load_network, save_checkpoint, training_options
from sscn_triton.study.training.config import EvaluateConfig, TrainConfig
from sscn_triton.study.training.evaluation import evaluate
from sscn_triton.study.training.model_card import training_events
from sscn_triton.study.training.networks import voxel_logits
from sscn_triton.study.training.stages import curve, main, read_stage, record, recorded_points, step_points
from sscn_triton.study.training.trainer import train

OPTIONS = {"filters": 2, "depth": 2, "repetitions": 1, "average": 0.9, "tensorboard": False, "checkpoint_every": 1}


def as_plain(value: Any) -> Any:
    """Tuples as lists, as JSON keeps them."""
    return [as_plain(one) for one in value] if isinstance(value, tuple | list) else value


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two stages, of 4 steps of 2 images and of 2 steps of 3 images, and the scores of the last one's network."""
    folder = tmp_path_factory.mktemp("stages")
    with PilarnetWriter(folder / "events.h5", seed=1, configuration={"seed": 1, "size": 16}) as writer:
        for index in range(4):
            writer.append(simulate(1, index, size=16, minimum_voxels=20))
    data = str(folder / "events.h5")
    first = TrainConfig(out=str(folder / "first"), data=data, batch=2, steps=4, seed=3, **OPTIONS)  # type: ignore[arg-type]
    train(first)
    second = replace(first, out=str(folder / "second"), start=str(folder / "first" / "last.ckpt"), batch=3, steps=2)
    train(replace(second, schedule="decay"))
    evaluate(EvaluateConfig(checkpoint=str(folder / "second/final.ckpt"), data=data, out=str(folder / "scores.json")))
    return [folder / "first", folder / "second", folder / "scores.json"]


def test_the_record_lists_options_and_passes_of_every_stage(
    stages: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, scores = map(str, stages)
    main([first, second, "--scores", scores, "--out", str(tmp_path / "training.json")])
    found = json.loads((tmp_path / "training.json").read_text())
    assert found["passes"] == 4 * 2 + 2 * 3
    assert [stage["steps"] for stage in found["stages"]] == [4, 2]
    assert found["stages"][0]["options"] == {
        "filters": 2, "depth": 2, "repetitions": 1, "average": 0.9, "seed": 3,
    }  # fmt: skip
    assert found["stages"][1]["options"]["schedule"] == "decay"
    assert found["stages"][0]["trained_on"]["events"] == 4
    assert found["seconds"] == pytest.approx(sum(stage["seconds"] for stage in found["stages"]))
    assert found["parameters"] == sum(p.numel() for p in load_network(stages[1] / "final.ckpt").parameters())
    assert found["scores"][0]["step"] == 2
    assert "14 passes" in capsys.readouterr().out
    assert found["simulations"] == [{"seed": 1, "size": 16}]
    again = [first, second, "--out", str(tmp_path / "training.json")]
    assert main(again) == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m sscn_triton.study.training.stages: out must be a new file, but ")
    assert said.count("\n") == 1
    (tmp_path / "training.json").unlink()
    assert main(again) == 2
    assert "network must be a new file, but " in capsys.readouterr().err
    assert not (tmp_path / "training.json").exists()
    assert main([*again, "--overwrite", "true"]) == 0
    assert json.loads((tmp_path / "training.json").read_text())["scores"] == []


def test_the_network_in_half_precision_predicts_nearly_the_same(stages: list[Path], tmp_path: Path) -> None:
    main([*map(str, stages[:2]), "--out", str(tmp_path / "training.json"), "--network", str(tmp_path / "a" / "net")])
    whole, half = stages[1] / "final.ckpt", tmp_path / "a" / "net"
    assert sorted(path.name for path in half.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert all(w.dtype == torch.float16 for w in load_checkpoint(half).weights.values() if w.is_floating_point())
    one, other = load_checkpoint(whole), load_checkpoint(half)
    for name in ("network", "step", "samples", "classes", "energy_unit", "data", "sscn"):
        assert as_plain(getattr(one, name)) == as_plain(getattr(other, name)), name
    assert "the network saw 14 events in" in (half / "README.md").read_text()
    assert training_options(other, half).schedule == "decay"
    assert training_options(other, half).data is None  # a path of this machine
    batch = as_batch([simulate(2, 0, size=16, minimum_voxels=20)])
    with torch.no_grad():
        one, other = (voxel_logits(load_network(path), batch) for path in (whole, half))
    torch.testing.assert_close(one, other, rtol=5e-3, atol=5e-3)


def test_an_older_final_network_and_weights_too_large_for_half_precision_are_refused(
    stages: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(stages[0], tmp_path / "stage")
    path, out = tmp_path / "stage" / "final.ckpt", tmp_path / "training.json"
    final = load_checkpoint(path)
    large = {**final.weights, "stem.weight": torch.full_like(final.weights["stem.weight"], 1e5)}
    for changed, message in [
        (replace(final, step=3), "final.ckpt: is of step 3, not of step 4 as "),
        (replace(final, weights=large, averaged=None), "weight in half precision stem.weight has values that are not"),
    ]:
        save_checkpoint(changed, path)
        assert main([str(tmp_path / "stage"), "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
    assert main([str(tmp_path / "stage"), "--out", str(out), "--network", str(path)]) == 2
    assert f"network must be a folder, but {path} is a file" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["stage"]


def test_the_curve_averages_equal_numbers_of_passes_over_the_stages(
    stages: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sscn_triton.study.training.stages.POINTS", 3)  # bins of 5 passes
    read = [read_stage(folder) for folder in stages[:2]]
    points = curve(step_points(read, ["HIP", "Michel"]), 14, ["HIP", "Michel"])
    assert [point["passes"] for point in points] == [4, 8, 14]
    losses = [[float(row["loss"]) for row in rows] for _, rows in read]
    expected = [np.mean(losses[0][:2]), np.mean(losses[0][2:]), np.mean(losses[1])]
    assert [point["loss"] for point in points] == pytest.approx(expected)
    assert points[-1]["learning_rate"] == float(read[1][1][-1]["learning_rate"])


def test_a_point_of_an_earlier_curve_weighs_as_many_passes_as_it_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sscn_triton.study.training.stages.POINTS", 1)
    names = ("loss", "nonzero_accuracy", "accuracy_HIP", "accuracy_Michel")
    rows = [(10, [1.0, 0.0, 0.5, None]), (40, [2.0, 1.0, 0.5, 0.25])]
    earlier = [{"passes": p, "learning_rate": p / 100} | dict(zip(names, values, strict=True)) for p, values in rows]
    (point,) = curve(recorded_points({"curve": earlier}), 40, ["HIP", "Michel"])
    expected = {"passes": 40, "learning_rate": 0.4, "loss": 1.75, "nonzero_accuracy": 0.75}
    assert point == expected | {"accuracy_HIP": 0.5, "accuracy_Michel": 0.25}


@pytest.fixture(scope="module")
def continued(stages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The record of both stages, a third stage that started from its network, and one that started from random
    weights."""
    folder = tmp_path_factory.mktemp("continued")
    network = folder / "net"
    options = ["--scores", str(stages[2]), "--out", str(folder / "training.json"), "--network", str(network)]
    assert main([*map(str, stages[:2]), *options]) == 0
    path = stages[1] / "last.ckpt"
    third = replace(training_options(load_checkpoint(path), path), steps=3, schedule="constant", start=str(network))
    train(replace(third, out=str(folder / "third")))
    train(replace(third, out=str(folder / "fresh"), start=None, steps=1))
    return folder / "training.json", folder / "third", folder / "fresh"


def test_a_record_is_continued_without_the_folders_of_its_stages(
    stages: list[Path], continued: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    earlier, third, _ = continued
    assert main([str(third), "--continues", str(earlier), "--out", str(tmp_path / "longer.json")]) == 0
    found, before = json.loads((tmp_path / "longer.json").read_text()), json.loads(earlier.read_text())
    assert found["passes"] == before["passes"] + 3 * 3
    assert [stage["passes"] for stage in found["stages"]] == [8, 6, 9]
    assert found["stages"][:2] == before["stages"]
    assert found["stages"][2]["options"]["start"] == "net"
    assert found["seconds"] == pytest.approx(before["seconds"] + found["stages"][2]["seconds"])
    assert found["simulations"] == before["simulations"]  # the same file
    assert found["curve"][: len(before["curve"])] == before["curve"]
    assert [point["passes"] for point in found["curve"][-3:]] == [17, 20, 23]
    (milestone,) = found["milestones"]
    assert (milestone["passes"], milestone["training_events"]) == (14, 4)
    assert milestone["scores"][0]["nonzero_accuracy"] == before["scores"][0]["nonzero_accuracy"]
    assert "confusion" not in milestone["scores"][0]
    assert "start=net" in (tmp_path / "longer" / "README.md").read_text()


def test_a_record_is_continued_only_from_its_network(
    stages: list[Path], continued: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier, third, fresh = continued

    def refused(folder: Path, path: Path, message: str) -> None:
        assert main([str(folder), "--continues", str(path), "--out", str(tmp_path / "longer.json")]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "longer.json").exists()

    found = json.loads(earlier.read_text())
    refused(fresh, earlier, f"{fresh} started from random weights, not from the network of {earlier}")
    refused(stages[1], earlier, f"first/last.ckpt, not from the network of {earlier}")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(found))
    refused(third, other, f"net, not from the network of {other}")
    same = tmp_path / "training.json"
    found["stages"][-1]["steps"] += 1
    same.write_text(json.dumps(found))
    refused(third, same, f"net, not from the network of {same}")
    found["stages"][-1]["steps"] -= 1
    found["network"]["filters"] = 3
    same.write_text(json.dumps(found))
    refused(third, same, f"{third} has another network than {same}: it does not continue this training")
    found["network"]["filters"] = 2
    for damage in (
        {"stages": []},
        {"stages": found["stages"][1:]},
        {"stages": [{"passes": 14}]},
        {"stages": "none"},
        {"curve": [{"passes": 14}]},
        {"curve": [None]},
        {"scores": [{}]},
        {"passes": None},
    ):
        same.write_text(json.dumps(found | damage))
        refused(third, same, "training.json: a damaged record of python -m sscn_triton.study.training.stages (")
    same.write_text("[]")
    refused(
        third,
        same,
        "training.json: not a record of python -m sscn_triton.study.training.stages: it has no commit, network",
    )
    same.write_text("no JSON")
    refused(third, same, "training.json: not a record of python -m sscn_triton.study.training.stages (")


def test_a_record_that_cannot_be_written_keeps_the_earlier_network(
    continued: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    earlier, third, _ = continued
    network = shutil.copytree(earlier.parent / "net", tmp_path / "net")
    kept = {path.name: path.read_bytes() for path in network.iterdir()}
    arguments = [str(third), "--continues", str(earlier), "--out", str(tmp_path / "longer.json")]
    arguments += ["--network", str(network), "--overwrite", "true"]
    monkeypatch.setattr(os, "fsync", full)
    assert main(arguments) == 2
    assert f"{tmp_path / 'longer.json'}: cannot be written" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in network.iterdir()} == kept
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    monkeypatch.undo()
    assert main(arguments) == 0


def test_a_folder_with_a_dot_in_its_name_is_a_network(continued: tuple[Path, Path, Path], tmp_path: Path) -> None:
    earlier, third, _ = continued
    network = shutil.copytree(earlier.parent / "net", tmp_path / "net.2")
    shutil.copytree(third, tmp_path / "third")
    path = tmp_path / "third" / "last.ckpt"
    checkpoint = load_checkpoint(path)
    save_checkpoint(replace(checkpoint, settings={**checkpoint.settings, "start": str(network)}), path)
    assert record([path.parent], [], earlier)["stages"][2]["options"]["start"] == "net.2"


def test_steps_after_the_last_checkpoint_do_not_count_and_missing_rows_are_refused(
    stages: list[Path], tmp_path: Path
) -> None:
    shutil.copytree(stages[0], tmp_path / "stage")
    log = tmp_path / "stage" / "steps.csv"
    header, *lines = log.read_text().splitlines()
    log.write_text("\n".join([header, *lines, lines[-1].replace("4,", "5,", 1)]) + "\n")
    assert len(read_stage(tmp_path / "stage")[1]) == 4
    log.write_text("\n".join([header, *lines[:-1]]) + "\n")
    with pytest.raises(ValueError, match=r"steps\.csv: has 3 rows for the 4 steps"):
        read_stage(tmp_path / "stage")


def test_scores_of_another_network_are_refused(stages: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scores\.json: is of step 2, not of step 4"):
        record(stages[:1], stages[2:])
    (tmp_path / "a.json").write_text("no JSON")
    with pytest.raises(ValueError, match=r"a\.json: not a file of `sscn evaluate --out`"):
        record(stages[:1], [tmp_path / "a.json"])
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match=r"a\.json: not a file of `sscn evaluate --out`: it has no step"):
        record(stages[:1], [tmp_path / "a.json"])
    shapes = json.loads(stages[2].read_text()) | {"classes": list(PILARNET_CLASSES)}  # by --conventions pilarnet-m
    (tmp_path / "a.json").write_text(json.dumps(shapes))
    with pytest.raises(ValueError, match=r"a\.json: has other classes than the network, HIP, MIP"):
        record(stages[:2], [tmp_path / "a.json"])


def test_stages_must_be_complete_and_in_order(stages: list[Path], tmp_path: Path) -> None:
    first, second = stages[:2]
    with pytest.raises(ValueError, match=r"second started from .*first/last\.ckpt, not from random weights"):
        record([second], [])
    with pytest.raises(ValueError, match=r"second started from .*, not from random weights"):
        record([second, first], [])
    with pytest.raises(ValueError, match=r"first started from random weights, not from .*first/last\.ckpt"):
        record([first, first], [])
    shutil.copytree(first, tmp_path / "moved" / "first")
    assert record([tmp_path / "moved" / "first", second], [])["passes"] == 14
    with pytest.raises(FileNotFoundError, match=r"none/last\.ckpt: no such file"):
        record([tmp_path / "none"], [])


@pytest.mark.parametrize(("name", "allowed"), [("last.ckpt", True), ("final.ckpt", True), ("best.ckpt", False)])
def test_a_stage_may_start_from_either_checkpoint_of_the_one_before(
    name: str, allowed: bool, stages: list[Path], tmp_path: Path
) -> None:
    first, second = stages[:2]
    shutil.copytree(second, tmp_path / "second")
    path = tmp_path / "second" / "last.ckpt"
    checkpoint = load_checkpoint(path)
    save_checkpoint(replace(checkpoint, settings={**checkpoint.settings, "start": str(first / name)}), path)
    with contextlib.nullcontext() if allowed else pytest.raises(ValueError, match="give all stages in order"):
        record([first, path.parent], [])


def test_a_stage_of_another_network_is_refused(stages: list[Path], tmp_path: Path) -> None:
    first = stages[0]
    options = training_options(load_checkpoint(first / "last.ckpt"), first / "last.ckpt")
    train(replace(options, out=str(tmp_path / "wide"), filters=3, steps=1))
    with pytest.raises(ValueError, match=r"wide has another network than .*first: they are not stages of one"):
        record([first, tmp_path / "wide"], [])


def identified(events: int, *files: str) -> dict[str, Any]:
    """A stage that learnt from these files."""
    return {
        "trained_on": {
            "events": events,
            "checksum": "".join(files),
            "files": [[f, 1, f"{f} of {files}"] for f in files],
        }
    }


def test_events_that_several_stages_saw_count_once() -> None:
    def number(*stages: dict[str, Any]) -> int | None:
        return training_events({"stages": list(stages)})

    first, second, both = identified(10, "a", "b"), identified(5, "c"), identified(12, "c", "d")
    assert number(first, first) == 10
    assert number(first, second) == 15
    assert number(first, second, both) == number(both, first) == 22
    assert number(first, identified(12, "b", "c")) is None
    assert number(first, {"trained_on": None}) is None
    simulated = {"trained_on": {"events": 7, "checksum": "x", "files": []}}
    assert number(simulated, simulated) == 7
