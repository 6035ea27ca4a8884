"""Events kept in memory equal those read from the file, and batches prepared in advance equal the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("lightning")
from sscn_triton.common import machine
from sscn_triton.lartpc import create_events, open_events
from sscn_triton.lartpc.files import folder as folders
from sscn_triton.study.data import datamodule
from sscn_triton.study.data.event_memory import EventMemory, MadeAhead, event_bytes
from sscn_triton.study.training.checkpoint import load_checkpoint
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.trainer import train
from tests.support.events.files import random_event


def test_kept_events_are_unchanged_and_memory_is_bounded() -> None:
    events = [random_event(seed, 30, shape) for seed, shape in enumerate([(9, 9, 9), (7, 40_000), (9, 9, 9)])]
    memory = EventMemory(event_bytes(events[0]) + event_bytes(events[1]))
    for number, event in enumerate(events):
        memory.keep(number, event)
    assert (len(memory), memory.bytes) == (2, memory.limit)
    assert memory.get(2) is None
    for number in (0, 1):
        kept = memory.get(number)
        assert kept is not None
        for field in ("coordinates", "energy", "labels", "origin"):
            found, expected = getattr(kept, field), getattr(events[number], field)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
        for field in ("spatial_shape", "name", "voxel_size", "label_names"):
            assert getattr(kept, field) == getattr(events[number], field)
    assert event_bytes(events[0]) - event_bytes(random_event(0, 0, (9, 9, 9))) == 30 * (3 * 2 + 4 + 1)


@pytest.mark.parametrize(
    ("memory", "workers", "share"),
    [(None, 0, None), (2.5e9, 0, "2.5 GB"), (2.5e9, 3, "2.5 GB for each of 3 workers")],
)
def test_a_training_says_how_much_memory_its_events_take(memory: float | None, workers: int, share: str | None) -> None:
    events = [random_event(seed, 30, (16, 16, 16)) for seed in range(4)]
    config = TrainConfig(data="events.h5", crop=16, workers=workers)
    source = datamodule.Source(events, [0, 1, 2, 3], config, None if memory is None else EventMemory(int(memory)))
    size = f"{sum(map(event_bytes, events)) / 1e9:.2g}"
    kept = f"; they stay in memory after the first read: about {size} GB, at most {share}"
    assert datamodule.check_training(source) == "training on 4 events" + (kept if share else "")


def test_items_made_ahead_keep_their_order_and_errors_and_the_thread_ends() -> None:
    def items(number: int) -> Iterator[int]:
        yield from range(number)
        raise OSError("no more")

    found = []
    with pytest.raises(OSError, match="no more"):
        found += list(MadeAhead(items(5)))
    iteration = iter(MadeAhead(items(50), ahead=3))
    assert [next(iteration), next(iteration)] == [0, 1]
    makers = [thread for thread in threading.enumerate() if thread.name == "batches"]
    assert len(makers) == 1
    iteration.close()  # type: ignore[attr-defined]
    assert not makers[0].is_alive()
    assert list(MadeAhead(range(4))) == [0, 1, 2, 3]


@pytest.mark.parametrize("crop", [None, 12])
def test_memory_and_workers_do_not_change_a_bit_of_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crop: int | None
) -> None:
    for part in range(3):
        (tmp_path / "events").mkdir(exist_ok=True)
        with create_events(tmp_path / "events" / f"{part}.h5") as writer:
            for seed in range(3):
                writer.append(random_event(3 * part + seed, 60, (16, 16, 16)))
    monkeypatch.setattr(folders, "OPEN", 1)
    weights = []
    for number, (limit, workers) in enumerate(((0, 0), (10**9, 0), (3000, 0), (10**9, 2))):
        monkeypatch.setattr(datamodule, "memory_for_events", lambda processes, limit=limit: limit)
        out = tmp_path / str(number)
        train(
            TrainConfig(
                out=str(out), data=str(tmp_path / "events"), crop=crop, filters=2, depth=2, repetitions=1, steps=9,
                workers=workers, tensorboard=False, device="cpu",
            )
        )  # fmt: skip
        weights.append(load_checkpoint(out / "last.ckpt").weights)
    for other in weights[1:]:
        assert all((other[name] == weight).all() for name, weight in weights[0].items())


def test_events_that_fit_into_memory_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with create_events(tmp_path / "a.h5") as writer:
        for seed in range(6):
            writer.append(random_event(seed, 60, (16, 16, 16)))
    config = TrainConfig(data=str(tmp_path / "a.h5"), held_out=str(tmp_path / "a.h5"))
    source, _ = datamodule.load_sources(config)
    read: list[int] = []
    inner = type(source.events)._read
    monkeypatch.setattr(type(source.events), "_read", lambda self, number: read.append(number) or inner(self, number))
    for _ in range(3):
        assert len(list(source)) == 6
    assert sorted(read) == list(range(6))


def test_a_folder_of_more_files_than_may_be_open_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "OPEN", 3)
    for number in range(8):
        with create_events(tmp_path / f"{number}.h5") as writer:
            writer.append(random_event(number, 10, (16, 16, 16)))
    with open_events(tmp_path) as events:
        for number in (0, 7, 3, 3, 1, 6, 0, 5, 2, 4):
            expected = random_event(number, 10, (16, 16, 16))
            assert events[number].energy.sum() == pytest.approx(expected.energy.sum())
            assert sum(file._handle is not None for file in events.files) <= 3  # type: ignore[attr-defined]
    assert all(file._handle is None for file in events.files)  # type: ignore[attr-defined]


def test_free_memory_heeds_the_limits_of_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < machine.free_memory() < 2**50
    monkeypatch.setattr(machine, "_left_in_groups", lambda: [10**6, 10**15])
    assert machine.free_memory() == 10**6
