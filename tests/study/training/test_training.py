"""A training learns from the requested images in the requested way, and writes a row per step."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sscn_triton import cli
from sscn_triton.common.errors import RunError
from sscn_triton.common.output import as_json
from sscn_triton.lartpc import Event, create_events, simulate
from sscn_triton.study.data import labels
from sscn_triton.study.data.augmentation import random_shift, symmetries, transform
from sscn_triton.study.data.datamodule import EventImages
from sscn_triton.study.data.sampling import Batches, deal, event_of
from sscn_triton.study.data.tiling import covering
from sscn_triton.study.training import steplog
from sscn_triton.study.training.checkpoint import load_checkpoint, load_network
from sscn_triton.study.training.config import CONFIGS, EvaluateConfig, TrainConfig, packaged_configs
from sscn_triton.study.training.evaluation import evaluate
from sscn_triton.study.training.metrics import event_losses, voxel_metrics, voxel_weights
from sscn_triton.study.training.networks import make_network
from sscn_triton.study.training.segmentation import WARM_UP, Segmentation, scheduled
from sscn_triton.study.training.trainer import train

SMALL = {"filters": 2, "depth": 2, "repetitions": 1}
TINY = TrainConfig(events=5, image=16, steps=3, tensorboard=False, **SMALL)  # type: ignore[arg-type]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "steps.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def event() -> Event:
    return simulate(0, 0, size=32)


@pytest.fixture(scope="module")
def event_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "events.h5"
    with create_events(path) as writer:
        for index in range(5):
            writer.append(simulate(1, index, size=16, minimum_voxels=20))
    return path


# ---- loss -------------------------------------------------------------------------------------------------------


def test_balanced_weights_give_each_class_of_an_event_the_same_weight_also_when_one_is_absent() -> None:
    classes, events = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0, 0, 0, 0, 1, 1])
    # event 0: classes 0 and 1 with three and one voxels: weights 4 / (2 * 3), 4 / (2 * 1); event 1: only class 2
    expected = torch.tensor([2 / 3, 2 / 3, 2 / 3, 2, 1, 1])
    torch.testing.assert_close(voxel_weights(classes, events, 2, 3, "balanced"), expected)
    root = 4 / (3 * 3**-0.5 + 1)  # so that their average is 1
    expected = torch.tensor([root * 3**-0.5] * 3 + [root, 1, 1])
    torch.testing.assert_close(voxel_weights(classes, events, 2, 3, "sqrt"), expected)


def test_weighted_losses_are_those_of_pytorch_event_by_event() -> None:
    torch.manual_seed(0)
    logits, classes = torch.randn(7, 3), torch.tensor([0, 0, 0, 1, 2, 2, -1])
    events = torch.tensor([0, 0, 0, 0, 2, 2, 2])
    first = F.cross_entropy(logits[:4], classes[:4], weight=torch.tensor([2 / 3, 2.0, 0.0]))
    second = F.cross_entropy(logits[4:6], classes[4:6])
    losses = event_losses(logits, classes, events, 3, "balanced")
    torch.testing.assert_close(losses, torch.stack([first, second]))


# ---- images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "number"), [((4, 4, 4), 48), ((4, 4), 8), ((4, 4, 6), 16)])
def test_each_symmetry_of_an_image_occurs_once(shape: tuple[int, ...], number: int) -> None:
    image = np.arange(math.prod(shape)).reshape(shape)
    seen = set()
    sites = np.argwhere(image >= 0)
    for symmetry in symmetries(shape):
        moved = transform(bare(sites, shape), symmetry).coordinates
        turned = np.zeros(shape, dtype=int)
        turned[tuple(moved.T)] = image[tuple(sites.T)]
        seen.add(turned.tobytes())
        distances = [np.abs(np.diff(c.astype(int), axis=0)).sum(1) for c in (sites, moved)]
        assert np.array_equal(*distances)
    assert len(seen) == number


def bare(coordinates: np.ndarray, shape: tuple[int, ...], classes: np.ndarray | None = None) -> Event:
    energy = np.ones(len(coordinates), dtype=np.float32)
    classes = np.zeros(len(coordinates), dtype=np.int8) if classes is None else classes
    particles = simulate(0, 0, size=8, minimum_voxels=1).particles[:0]
    return Event(coordinates, energy, classes, particles, 3.0, np.zeros(len(shape)), shape)


def test_images_of_two_dimensions_are_those_of_a_wire_plane(event: Event) -> None:
    flat = labels.project(event, 2)
    assert labels.project(event, 3) is event
    assert flat.spatial_shape == (32, 32)
    sums = np.zeros((32, 32))
    np.add.at(sums, (event.coordinates[:, 2], event.coordinates[:, 0]), event.energy)
    np.testing.assert_allclose(flat.energy, sums[tuple(flat.coordinates.T)], rtol=1e-5)
    with pytest.raises(ValueError, match="has 2 axes, but the network reads 3"):
        labels.project(flat, 3)


def test_two_classes_are_track_and_shower() -> None:
    sites = np.array([[i, 0, 0] for i in range(6)])
    event = bare(sites, (8, 8, 8), np.array([0, 1, 2, 3, 4, -1]))
    assert labels.relabel(event, "two").labels.tolist() == [0, 0, 1, 1, 1, -1]
    assert labels.class_names("two") == ("track", "shower")


def test_a_random_shift_moves_an_event_within_an_image_enlarged_by_the_shift(event: Event) -> None:
    generator = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        moved = random_shift(event, 2, generator)
        assert moved.spatial_shape == (34, 34, 34)
        (by,) = {tuple(row) for row in (moved.coordinates - event.coordinates).tolist()}
        seen.add(by)
    assert {x for by in seen for x in by} == {0, 1, 2}
    assert any(len(set(by)) == 3 for by in seen)


# ---- sampling ---------------------------------------------------------------------------------------------------


def test_every_pass_shows_every_event_once_in_a_new_order() -> None:
    turns = [[event_of(3, turn * 10 + i, 10) for i in range(10)] for turn in range(3)]
    assert all(sorted(turn) == list(range(10)) for turn in turns)
    assert turns[0] != turns[1] != turns[2]
    assert [event_of(4, i, 10) for i in range(10)] != turns[0]


def test_batches_can_start_anywhere_and_are_divided_without_loss() -> None:
    voxels = [100, 1, 50, 49, 30, 70, 20, 10, 5, 60]
    whole = list(Batches(0, 10, 4, 0, 6))
    assert list(Batches(0, 10, 4, 2, 6)) == whole[2:]
    shares = [list(Batches(0, 10, 4, 0, 6, process, 2, voxels)) for process in range(2)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(parts[0] + parts[1], key=lambda image: image[1]) == batch
        assert len(parts[0]) == len(parts[1]) == 2


def test_processes_get_equal_numbers_of_images_and_similar_numbers_of_voxels() -> None:
    assert deal([100, 1, 50, 49], 2) == [[0, 1], [2, 3]]
    generator = np.random.default_rng(0)
    voxels = generator.integers(600, 12_000, size=64).tolist()
    sums = [sum(voxels[i] for i in hand) for hand in deal(voxels, 4)]
    assert max(sums) / min(sums) < 1.05


# ---- training ---------------------------------------------------------------------------------------------------


def test_a_training_writes_rows_checkpoints_and_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(TINY, out=str(tmp_path / "a"), accumulate=2, tensorboard=True, augment=True)
    path = train(config)
    assert path == tmp_path / "a" / "final.ckpt"
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "final.ckpt", "last.ckpt", "scores.json", "steps.csv", "tensorboard",
    ]  # fmt: skip
    written = rows(path.parent)
    assert [int(row["step"]) for row in written] == [1, 2, 3]
    assert list(written[0]) == steplog.columns(labels.class_names("five"))
    for row in written:
        assert int(row["events"]) == config.batch * config.accumulate
        assert 0 <= float(row["nonzero_accuracy"]) <= 1
        parts = [float(row[f"seconds_{part}"]) for part in ("data", "forward", "backward")]
        assert min(parts) > 0
        assert float(row["memory"]) > 1e6
    last = load_checkpoint(path.parent / "last.ckpt")
    assert (last.step, last.samples, last.settings) == (3, 12, asdict(config))
    assert last.classes == labels.class_names("five")
    scores = json.loads((path.parent / "scores.json").read_text())
    assert scores["events"] == 1
    assert f"nonzero accuracy {100 * scores['nonzero_accuracy']:.1f} %" in capsys.readouterr().out
    assert any(path.parent.joinpath("tensorboard").iterdir())


def test_schedules_rise_and_fall_as_documented(tmp_path: Path) -> None:
    assert [scheduled("decay", step, step / 4, 2.0) for step in range(4)] == [2.0, 1.5, 1.0, 0.5]
    assert scheduled("decay", 9999, 0.9999, 2.0) == 2e-3
    assert scheduled("constant", 0, 0.0, 2.0) == 2 / WARM_UP
    assert scheduled("constant", WARM_UP - 1, 0.05, 2.0) == scheduled("constant", 9999, 0.9999, 2.0) == 2.0
    assert scheduled("one-cycle", 3, 0.3, 2.0) == 2.0
    train(replace(TINY, out=str(tmp_path / "a"), schedule="decay"))
    rates = [float(row["learning_rate"]) for row in rows(tmp_path / "a")]
    assert rates == pytest.approx([1e-3, 2e-3 / 3, 1e-3 / 3], rel=1e-5)


def test_shift_applies_to_training_images_only(tmp_path: Path) -> None:
    config = replace(TINY, out=str(tmp_path / "a"), crop=8, augment=False)
    data = EventImages(replace(config, shift=4))
    data.load()
    (batch,) = data.statistics_batches(1)
    assert batch.spatial_shape == (12, 12, 12)
    assert all(image.spatial_shape == (8, 8, 8) for image in data.judged_images())
    voxels = []
    for shift in (0, 4):
        train(replace(config, out=str(tmp_path / str(shift)), shift=shift))
        voxels.append([row["voxels"] for row in rows(tmp_path / str(shift))])
    assert voxels[0] == voxels[1]  # the same crops
    losses = [[row["loss"] for row in rows(tmp_path / name)] for name in ("0", "4")]
    assert losses[0] != losses[1]


def test_a_training_starts_from_the_weights_of_another(tmp_path: Path) -> None:
    train(replace(TINY, out=str(tmp_path / "first"), average=0.5, steps=4))
    first, final = (load_checkpoint(tmp_path / "first" / name) for name in ("last.ckpt", "final.ckpt"))
    assert first.averaged is not None
    for name in ("last.ckpt", "final.ckpt"):
        # Adam changes a weight by at most about the learning rate per step
        train(
            replace(TINY, out=str(tmp_path / name), start=str(tmp_path / "first" / name), steps=1, learning_rate=1e-9)
        )
        begun = load_checkpoint(tmp_path / name / "last.ckpt")
        for parameter, average in first.averaged.items():
            torch.testing.assert_close(begun.weights[parameter], average, rtol=0, atol=1e-6)
            assert torch.equal(final.weights[parameter], average)


def test_averages_follow_the_weights_of_all_steps(tmp_path: Path) -> None:
    weights = []
    for step in range(1, 4):
        train(replace(TINY, out=str(tmp_path / str(step)), steps=step, average=0.15, schedule="constant"))
        weights.append(load_checkpoint(tmp_path / str(step) / "last.ckpt"))
    name = next(iter(weights[0].averaged or {}))
    first = make_network(weights[0].network, TINY.seed).state_dict()[name]
    average = first
    for step, checkpoint in enumerate(weights, start=1):
        decay = min(0.15, step / (step + 10))  # a constant schedule makes the same first steps, however many follow
        average = decay * average + (1 - decay) * checkpoint.weights[name]
        torch.testing.assert_close((checkpoint.averaged or {})[name], average, rtol=1e-6, atol=1e-9)
        assert not torch.equal(average, checkpoint.weights[name])


def test_a_finished_training_is_kept_and_other_options_are_refused(tmp_path: Path) -> None:
    config = replace(TINY, out=str(tmp_path / "a"), steps=2)
    path = train(config)
    assert path is not None
    before = (path.parent / "last.ckpt").read_bytes(), (path.parent / "steps.csv").read_bytes()
    train(replace(config, workers=1, checkpoint_every=7))
    assert ((path.parent / "last.ckpt").read_bytes(), (path.parent / "steps.csv").read_bytes()) == before
    with pytest.raises(ValueError, match=r"contains a training with steps=2, not 4: choose another out"):
        train(replace(config, steps=4))


def test_sum_and_mean_of_losses_differ_by_the_number_of_events_even_with_accumulation(tmp_path: Path) -> None:
    def gradient(reduction: str, accumulate: int) -> torch.Tensor:
        name = f"{reduction}{accumulate}"
        out = replace(TINY, out=str(tmp_path / name), steps=1, batch=2, accumulate=accumulate, reduction=reduction)  # type: ignore[arg-type]
        train(out)
        moments = load_checkpoint(tmp_path / name / "last.ckpt").optimizer["state"].values()
        return torch.cat([moment["exp_avg"].flatten() for moment in moments])

    for accumulate in (1, 2):
        events = 2 * accumulate  # Adam's first moment is a tenth of the first gradient
        mean, total = gradient("mean", accumulate), gradient("sum", accumulate)
        torch.testing.assert_close(total, events * mean, rtol=1e-4, atol=1e-7)


def test_a_loss_that_is_not_a_number_stops_with_step_and_events_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, out=str(tmp_path / "a"), checkpoint_every=1, steps=5)
    learn = Segmentation.training_step

    def poisoned(module: Segmentation, batch: object, index: int) -> torch.Tensor:
        if index == 3:
            batch = replace(batch, features=torch.full_like(batch.features, math.nan))  # type: ignore[attr-defined,type-var]
        return learn(module, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmentation, "training_step", poisoned)
    with pytest.raises(RunError, match=r"the loss of step 4 is nan \(0:\d+, 0:\d+\); step 3 is kept in .*last\.ckpt"):
        train(config)
    assert load_checkpoint(tmp_path / "a" / "last.ckpt").step == 3


# ---- configurations ---------------------------------------------------------------------------------------------


def test_the_packaged_configurations_are_those_that_help_names() -> None:
    named = re.search(r"packaged configuration: ([^.]*)\.", " ".join((TrainConfig.__doc__ or "").split()))
    assert named is not None
    assert sorted(named[1].split(", ")) == packaged_configs()
    assert {"laptop", "192", "512", "768", "michel", "two-class", "2d", "dense-matched"} < set(packaged_configs())


@pytest.mark.parametrize("name", packaged_configs())
def test_every_packaged_configuration_trains(
    name: str, tmp_path: Path, event_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = ["--steps=2", "--filters=2", "--depth=2", "--batch=2", "--workers=0", "--repetitions=1", "--out=a"]
    text = (CONFIGS / f"{name}.yaml").read_text()
    tiny += [f"--held_out={event_file}"] if "held_out:" in text else []
    tiny += [f"--data={event_file}"] if "data:" in text else ["--events=5", "--image=16", "--crop=8"]
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "--config", name, *tiny, "--tensorboard=false"])
    assert end.value.code == 0
    assert len(rows(tmp_path / "a")) == 2
    load_network(tmp_path / "a" / "final.ckpt")


# ---- evaluation -------------------------------------------------------------------------------------------------


def test_evaluation_repeats_the_scores_of_the_training(tmp_path: Path, event_file: Path) -> None:
    config = replace(
        TINY, out=str(tmp_path / "a"), data=str(event_file), held_out=str(event_file), events=None, image=None, ndim=2
    )
    path = train(config)
    scores = json.loads((tmp_path / "a" / "scores.json").read_text())
    record = evaluate(EvaluateConfig(str(path), str(event_file), out=str(tmp_path / "scores.json"), device="cpu"))
    for name in ("nonzero_accuracy", "confusion", "class_share", "voxels", "events"):
        assert record[name] == scores[name]
    assert as_json(record["voxel_metrics"]) == as_json(asdict(voxel_metrics(record["confusion"])))
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["confusion"] == record["confusion"]
    assert np.array(written["confusion"]).sum() == written["voxels"]
    assert written["mistakes"]["confusion_voxels"] == written["confusion"]
    assert written["michel"] is None  # two dimensions


def test_tiles_cover_an_image(event: Event) -> None:
    for size in (16, 12):
        covered = sum(len(tile) for tile in covering(event, size))
        assert covered >= len(event)
        assert (covered == len(event)) == (size == 16)
    with pytest.raises(ValueError, match="crop must fit into the images"):
        covering(event, 33)


BAD = {
    "steps": ({"steps": 0}, "steps must be at least 1, got 0"),
    "rate": ({"learning_rate": -1.0}, "learning_rate must be positive and finite, got -1.0"),
    "batch": ({"batch": 3, "devices": 2}, "batch must be divisible by the 2 processes"),
    "dense": ({"network": "matched", "image": 42, "depth": 3}, "image must be divisible by 4 for network=matched"),
    "study": ({"network": "study", "crop": 20, "depth": 3}, "crop must be divisible by 8 for network=study of depth 3"),
    "bottom": ({"network": "study", "crop": 8, "depth": 3}, "crop must be more than 8 for network=study of depth 3"),
    "events": ({"data": "a.h5", "events": 3}, "events applies only to simulated events: leave it out with data=a.h5"),
    "held out": ({"held_out": "a.h5"}, "held_out=a.h5 needs data or stream=true"),
    "flat": (
        {"shift": 3, "depth": 1},
        "shift needs a network with strided layers, but network=sparse of depth 1 has none",
    ),
    "shift": (
        {"shift": 6, "network": "matched", "depth": 3},
        "shift must be divisible by 4 for network=matched of depth 3, got 6",
    ),
    "back": ({"shift": -1}, "shift must be at least 0, got -1"),
    "average": ({"average": 1.0}, "average must be at least 0 and less than 1, got 1.0"),
    "crop": ({"image": 16, "crop": 32}, "image must be at least the size of a crop, 32, got 16"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_impossible_trainings_are_refused_by_their_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        TrainConfig(**options)  # type: ignore[arg-type]


def test_commands_refuse_bad_input_with_exit_code_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("nothing\n")
    Path("odd.yaml").write_text("step: 3\n")
    for words, message in [
        (["train", "--config", "latop"], "sscn train: --config: "),
        (["train", "--config", "odd.yaml"], "sscn train: Subcommand 'train' does not accept option 'step'"),
        (["train", "--network", "tiny"], "sscn train: --network: "),
        (["train", "--data", "none.h5"], "sscn train: none.h5: no such file"),
        (["train", "--out", "text", "--events=2"], "sscn train: out must be a folder, but text is a file"),
        (["evaluate", "--checkpoint", "none.ckpt", "--data", "text"], "sscn evaluate: none.ckpt: no such file"),
        (["evaluate", "--checkpoint", "text", "--data", "text"], "sscn evaluate: text: not a checkpoint"),
    ]:
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        out, err = capsys.readouterr()
        assert (end.value.code, out) == (2, ""), err
        assert err.startswith(message)
        assert err.count("\n") == 1
