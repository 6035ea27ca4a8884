"""A training checks everything that it will need before its first step, and ends with usable files."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("h5py")
pytest.importorskip("lightning")
from sscn_triton import cli
from sscn_triton.common.errors import Interrupted, RunError
from sscn_triton.lartpc import Event, create_events
from sscn_triton.study.data import identity
from sscn_triton.study.training import trainer
from sscn_triton.study.training.checkpoint import load_checkpoint
from sscn_triton.study.training.config import TrainConfig
from tests.support.events.files import random_event

CUBE = (16, 16, 16)


def write(path: Path, events: Sequence[Event]) -> Path:
    with create_events(path, overwrite=True) as writer:
        for event in events:
            writer.append(event)
    return path


def labelled(number: int, first: int = 0, shape: tuple[int, ...] = CUBE) -> list[Event]:
    return [random_event(seed, 40, shape) for seed in range(first, first + number)]


def without_labels(event: Event) -> Event:
    return event.replace(labels=np.full(len(event), -1))


def empty(seed: int) -> Event:
    return random_event(seed, 0, CUBE)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., TrainConfig]:
    """A short training on six events in `tmp_path`, evaluated on others."""
    data, held_out = write(tmp_path / "data.h5", labelled(6)), write(tmp_path / "held_out.h5", labelled(2, first=50))

    def make(**options: Any) -> TrainConfig:
        base = {"out": str(tmp_path / "out"), "data": str(data), "held_out": str(held_out), "steps": 3}
        small = {"filters": 2, "depth": 2, "repetitions": 1, "tensorboard": False, "device": "cpu"}
        return TrainConfig(**{**base, **small, **options})

    return make


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "steps.csv").open() as file:
        return list(csv.DictReader(file))


def refused(config: TrainConfig, message: str) -> None:
    """The training raises ValueError and makes no step."""
    with pytest.raises(ValueError, match=message):
        trainer.train(config)
    assert not (Path(config.out) / "last.ckpt").exists()
    assert not (Path(config.out) / "steps.csv").exists()


# ---- what a training needs --------------------------------------------------------------------------------------


def test_an_unusable_held_out_file_is_refused_before_the_first_step(
    tmp_path: Path, config: Callable[..., TrainConfig]
) -> None:
    blank = write(tmp_path / "blank.h5", [empty(seed) for seed in range(3)])
    refused(config(held_out=str(blank)), r"blank\.h5: none of 3 events has 10 voxels of known label")
    bare = write(tmp_path / "bare.h5", [without_labels(event) for event in labelled(2)])
    refused(config(held_out=str(bare)), r"bare\.h5: none of 2 events has 10 voxels of known label")
    refused(config(held_out=str(bare), crop=8), r"bare\.h5: none of 2 events has")
    flat = write(tmp_path / "flat.npz", labelled(2, shape=(16, 16)))
    refused(config(held_out=str(flat)), "has 2 axes, but the network reads 3")
    odd = write(tmp_path / "odd.h5", [*labelled(3), *labelled(1, shape=(15, 16, 16))])
    refused(config(held_out=str(odd), network="matched"), "image without crop must be divisible by 2")
    refused(config(held_out=str(odd), crop=16), "crop must fit into the images of")
    wrong = write(tmp_path / "wrong.npz", labelled(3))
    change_array(wrong, "2/label", lambda labels: labels + 9)
    refused(
        config(held_out=str(wrong)), r"wrong\.npz: event 2: labels of row \d+ is \d+; the allowed range is -1 .* to 4"
    )


def change_array(path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, name: change(arrays[name])})


def test_data_without_labels_are_refused_before_the_first_step(
    tmp_path: Path, config: Callable[..., TrainConfig]
) -> None:
    bare = write(tmp_path / "bare.h5", [without_labels(event) for event in labelled(40)])
    refused(config(data=str(bare)), r"bare\.h5: none of the 40 training events has a voxel of known label")
    blank = write(tmp_path / "blank.h5", [empty(seed) for seed in range(3)])
    refused(config(data=str(blank)), r"blank\.h5: none of the 3 training events has a voxel of known label")
    nan = write(tmp_path / "nan.npz", labelled(5))
    change_array(nan, "3/value", lambda energy: np.where(np.arange(len(energy)) == 7, math.nan, energy))
    refused(config(data=str(nan)), r"nan\.npz: event 3: energy of row 7 is nan, not a finite number of MeV")
    refused(config(data=str(nan), held_out=None), r"nan\.npz: event 3: energy of row 7 is nan")


def test_events_without_labels_are_skipped_and_no_step_logs_nan(
    tmp_path: Path, config: Callable[..., TrainConfig]
) -> None:
    some = labelled(8)
    some[0], some[1], some[2], some[5] = empty(0), empty(1), without_labels(some[2]), empty(5)
    data = write(tmp_path / "some.h5", some)
    for number, options in enumerate(({"batch": 1}, {"batch": 2}, {"batch": 2, "crop": 8}, {"workers": 1})):
        folder = tmp_path / str(number)
        trainer.train(config(data=str(data), out=str(folder), steps=8, **options))
        for row in rows(folder):
            assert math.isfinite(float(row["loss"]))
            assert math.isfinite(float(row["nonzero_accuracy"]))
            assert int(row["events"]) == options.get("batch", 2)


def test_labels_of_one_class_are_warned_about(
    tmp_path: Path, config: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    one = write(tmp_path / "one.h5", [event.replace(labels=np.full(len(event), 2)) for event in labelled(3)])
    trainer.train(config(data=str(one)))
    assert "one.h5: all labels in the 3 checked events are shower" in capsys.readouterr().err


def test_missing_tensorboard_is_reported_before_the_first_step(
    config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = trainer.importlib.util.find_spec
    monkeypatch.setattr(trainer.importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    refused(
        config(tensorboard=True),
        "needs the package tensorboard: pip install 'sscn\\[study\\]', or give --tensorboard fa",
    )


# ---- what is saved and evaluated --------------------------------------------------------------------------------


def test_a_training_whose_evaluation_fails_keeps_its_network_and_accepts_another_file(
    tmp_path: Path, config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: Any) -> None:
        raise torch.OutOfMemoryError("no memory is left")

    monkeypatch.setattr(trainer, "judge", no_memory)
    with pytest.raises(RunError, match=r"final\.ckpt, but could not be evaluated: no memory is left; the same"):
        trainer.train(config())
    monkeypatch.undo()
    out = tmp_path / "out"
    before = [(out / name).read_bytes() for name in ("last.ckpt", "final.ckpt", "steps.csv")]
    other = write(tmp_path / "other.h5", labelled(4, first=80))
    assert trainer.train(config(held_out=str(other), held_out_events=3)) == out / "final.ckpt"
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["events"], scores["held_out"]) == (3, "other.h5")
    assert [(out / name).read_bytes() for name in ("last.ckpt", "final.ckpt", "steps.csv")] == before


def test_a_training_with_a_held_out_file_does_not_continue_without_it(config: Callable[..., TrainConfig]) -> None:
    trainer.train(config())
    with pytest.raises(ValueError, match=r"with held_out=.*held_out\.h5, not None, which changes the training events"):
        trainer.train(config(held_out=None))


def test_ctrl_c_during_the_evaluation_says_what_is_kept(
    config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "judge", interrupted)
    with pytest.raises(Interrupted, match=r"interrupted; step 3 is kept in .*last\.ckpt"):
        trainer.train(config())


def test_an_event_that_turns_out_damaged_stops_the_training_at_a_checkpoint(
    tmp_path: Path, config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sscn_triton.study.data.datamodule.CHECKED", 2)  # the first and the last
    data = write(tmp_path / "some.npz", labelled(5))
    change_array(data, "2/value", lambda energy: energy * math.inf)
    with pytest.raises(
        RunError, match=r"some\.npz: event 2: energy of row 0 is inf.*; step \d is kept in .*last\.ckpt"
    ):
        trainer.train(config(data=str(data), checkpoint_every=1, steps=9))


def test_infinite_moments_do_not_replace_a_good_checkpoint(
    config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient of 1e30 leaves the weights finite but makes Adam's second moment infinite: the network would stop
    learning."""
    learn = trainer.Segmentation.training_step
    monkeypatch.setattr(
        trainer.Segmentation, "training_step", lambda module, *batch: learn(module, *batch) * (1e30 if batch[1] else 1)
    )
    with pytest.raises(RunError, match=r"after step 2, .* is not finite .*; step 1 is kept"):
        trainer.train(config(checkpoint_every=1))


# ---- the same data ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "events"
    path.mkdir()
    for name, first in (("b.h5", 0), ("c.h5", 3)):
        write(path / name, labelled(3, first))
    return path


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "replaced": (lambda folder: write(folder / "b.h5", labelled(3, 9)), r"its contents differ \(changed: b\.h5\)"),
    "reordered": (lambda folder: write(folder / "b.h5", labelled(3)[::-1]), r"its contents differ \(changed: b\.h5\)"),
    "gained": (
        lambda folder: write(folder / "a.h5", labelled(1, 9)),
        r"it has 7 events now and had 6 .*\(new: a\.h5\)",
    ),
    "lost": (lambda folder: (folder / "c.h5").unlink(), r"it has 3 events now and had 6 .*\(gone: c\.h5\)"),
    "renamed": (lambda folder: (folder / "b.h5").rename(folder / "d.h5"), r"its contents differ \(new: d\.h5\)"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_training_continues_only_with_its_own_data(
    folder: Path, config: Callable[..., TrainConfig], change: Callable[[Path], object], message: str
) -> None:
    trainer.train(config(data=str(folder)))
    moved = folder.with_name("moved")
    shutil.copytree(folder, moved)
    (moved / "notes.txt").write_text("no events")
    trainer.train(config(data=str(moved)))  # the same events in another place
    change(folder)
    with pytest.raises(ValueError, match=rf"events that differ from those in .*events now: {message}; restore"):
        trainer.train(config(data=str(folder)))


def test_a_single_file_is_recognised_by_its_contents(tmp_path: Path, config: Callable[..., TrainConfig]) -> None:
    trainer.train(config())
    write(tmp_path / "data.h5", labelled(6, first=9))
    with pytest.raises(ValueError, match=r"differ from those in .*data\.h5 now: its contents differ; restore"):
        trainer.train(config())


def test_the_checksum_of_a_large_file_covers_evenly_spread_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "BLOCK", 4)
    content = bytearray(np.random.default_rng(0).bytes(101))
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    whole = identity._file_state(path, 26)
    parts = identity._file_state(path, 5)  # bytes 0 to 3, 24 to 27, 48 to 51, 72 to 75, 97 to 100
    for place in range(101):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert identity._file_state(path, 26) != whole
        looked_at = place in (0, 1, 2, 3, 24, 25, 26, 27, 48, 49, 50, 51, 72, 73, 74, 75, 97, 98, 99, 100)
        assert (identity._file_state(path, 5) != parts) == looked_at
    path.write_bytes(bytes(content) + b"1")
    assert identity._file_state(path, 5) != parts


def test_a_changed_simulation_is_recognised_by_its_first_event() -> None:
    events = labelled(3)
    same, other = (identity.identify([first, *events[1:]]) for first in (events[0], random_event(9, 40, CUBE)))
    assert identity.difference(identity.identify(events), same) is None
    assert identity.difference(identity.identify(events), other) == "its contents differ"


def test_training_continues_from_a_checkpoint_that_does_not_identify_its_data(
    tmp_path: Path, config: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.train(config())
    path = tmp_path / "out" / "last.ckpt"
    edit(path, lambda content: content.pop("data"))
    assert load_checkpoint(path).data is None
    trainer.train(config())
    assert "the checkpoint of an older version does not identify its data" in capsys.readouterr().err


# ---- what a checkpoint contains ---------------------------------------------------------------------------------


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def swap_options(content: dict[str, Any]) -> None:
    content["optimizer"]["state"][0]["exp_avg"] = torch.zeros(1)


SETTINGS = {
    "unknown": (lambda c: c["settings"].update(magic=3), "this version of sscn does not know the option 'magic' (=3)"),
    "word": (lambda c: c["settings"].update(network="tiny"), "network must be sparse or matched or study, got 'tiny'"),
    "number": (lambda c: c["settings"].update(depth="two"), "depth must be an integer, got 'two'"),
    "bound": (lambda c: c["settings"].update(steps=-1), "steps must be at least 1, got -1"),
    "other": (lambda c: c["settings"].update(classes="two"), "settings say classes=('track', 'shower'), but the"),
    "lacking": (lambda c: c["settings"].pop("filters"), "settings say filters=16, but the network in the same file"),
    "none": (lambda c: c.update(settings=[]), "not a checkpoint of this package: settings is list"),
    "layer": (lambda c: c["network"].update(wings=2), "network: this version of sscn does not know the option 'wings'"),
    "levels": (lambda c: c["network"].update(depth=3), " is missing"),
    "width": (lambda c: c["network"].update(filters=3), "the network's is ("),
    "negative": (lambda c: c["network"].update(filters=-3), "network: filters must be at least 1, got -3"),
    "nan": (lambda c: next(iter(c["weights"].values())).fill_(math.nan), "has values that are not finite"),
    "names": (lambda c: c.update(classes=["a"]), "1 classes for a network of 5 outputs"),
    "version": (lambda c: c.pop("version"), "a checkpoint of version None; this package reads 1"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), SETTINGS.values(), ids=SETTINGS)
def test_every_command_refuses_an_unusable_checkpoint_with_one_line(
    tmp_path: Path,
    config: Callable[..., TrainConfig],
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], object],
    message: str,
) -> None:
    asked = config(steps=1)
    path, data, out = trainer.train(asked), tmp_path / "data.h5", tmp_path / "out"
    assert path is not None
    edit(path, change)
    edit(out / "last.ckpt", change)
    options = [f"--held_out={asked.held_out}", "--steps=1", "--filters=2", "--depth=2", "--repetitions=1"]
    capsys.readouterr()
    for words in (
        ["evaluate", f"--checkpoint={path}", f"--data={data}"],
        ["predict", str(data), f"--checkpoint={path}", f"--out={tmp_path / 'labelled.h5'}"],
        ["train", f"--out={out}", f"--data={data}", *options, "--tensorboard=false", "--device=cpu"],
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        err = capsys.readouterr().err
        assert end.value.code == 2, err
        assert err.startswith(f"sscn {words[0]}: {path.parent}"), err
        assert message in err
        assert err.count("\n") == 1


def test_training_does_not_continue_if_the_optimizer_state_does_not_fit(
    tmp_path: Path, config: Callable[..., TrainConfig]
) -> None:
    trainer.train(config())
    path = tmp_path / "out" / "last.ckpt"
    whole = path.read_bytes()
    for change in (
        swap_options,
        lambda content: content.update(optimizer={}),
        lambda content: content["optimizer"]["param_groups"][0]["params"].pop(),
    ):
        path.write_bytes(whole)
        edit(path, change)
        with pytest.raises(ValueError, match=r"last\.ckpt: training cannot continue from its optimizer state"):
            trainer.train(config())


def test_a_training_with_averages_is_not_continued_without_them(
    tmp_path: Path, config: Callable[..., TrainConfig]
) -> None:
    trainer.train(config(average=0.9))
    last, final = (load_checkpoint(tmp_path / "out" / name) for name in ("last.ckpt", "final.ckpt"))
    assert last.averaged is not None
    assert final.averaged is None
    edit(tmp_path / "out" / "last.ckpt", lambda content: next(iter(content["averaged"].values())).fill_(math.inf))
    with pytest.raises(ValueError, match=r"averaged weight .* has values that are not finite"):
        trainer.train(config(average=0.9))
    edit(tmp_path / "out" / "last.ckpt", lambda content: content.update(averaged=None))
    with pytest.raises(ValueError, match=r"last\.ckpt: training cannot .*it has no averages of the weights"):
        trainer.train(config(average=0.9))


def test_an_unsuitable_start_checkpoint_is_refused_before_the_first_step(
    tmp_path: Path, config: Callable[..., TrainConfig]
) -> None:
    trainer.train(config(out=str(tmp_path / "first"), steps=1))
    start = str(tmp_path / "first" / "final.ckpt")
    refused(config(start=start, filters=3), r"start: .*final\.ckpt has a network of filters=2, not 3")
    refused(config(start=start, network="matched"), "has a network of network=sparse, not matched")
    refused(config(start=start, classes="two"), r"has a network of num_classes=5, not 2")
    refused(config(start=str(tmp_path / "data.h5")), r"data\.h5: not a checkpoint")
    edit(tmp_path / "first" / "final.ckpt", lambda content: content.update(energy_unit=1.0))
    refused(config(start=start), r"has a network of energy_unit=1\.0, not 0\.05")
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt: no such file"):
        trainer.train(config(start="none.ckpt"))


def test_a_folder_given_as_a_path_can_be_continued(tmp_path: Path, config: Callable[..., TrainConfig]) -> None:
    asked = replace(config(), out=tmp_path / "out")  # type: ignore[arg-type]
    trainer.train(asked)
    assert load_checkpoint(tmp_path / "out" / "last.ckpt").settings["out"] == str(tmp_path / "out")
    trainer.train(asked)
