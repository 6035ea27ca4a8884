"""Write many simulated events to a file, with several processes, resumable after an interruption."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from sscn_triton.common.files import lock_of, named, only_writer, publish, write_whole
from sscn_triton.common.optional import require
from sscn_triton.common.options import check_least
from sscn_triton.common.staged import StagedFile
from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.files.pilarnet import PilarnetEvents
from sscn_triton.lartpc.files.pilarnet_writer import Packed, PilarnetFile, PilarnetWriter, pack
from sscn_triton.lartpc.simulation.simulate import Recipe, simulate

PART = 20
"""Events that are simulated and written to the disk at once."""

AHEAD = 3
"""The most parts per process that may be finished or in progress but not yet on the disk: the loss at an interruption.
"""

_CONFIGURATION = "configuration.json"


def unfinished_file(path: str | os.PathLike[str]) -> Path:
    """The path where the events of an unfinished file are stored."""
    path = Path(path)
    return path.with_name(f"{path.name}.unfinished")


def _journal(path: Path) -> Path:
    kept = unfinished_file(path)
    return kept.with_name(f".{kept.name}.journal")


def remove_journal(path: str | os.PathLike[str]) -> None:
    """Remove the journal of a file that already has its name, left by a process killed at the end."""
    path = Path(path)
    if path.exists() and _journal(path).exists():
        with contextlib.suppress(OSError), lock_of(path):  # another may be writing it
            if not unfinished_file(path).exists():
                _journal(path).unlink(missing_ok=True)


def kept_events(path: str | os.PathLike[str]) -> int:
    """The number of events in an unfinished file, which no other process may be writing."""
    path = Path(path)
    kept = unfinished_file(path)
    if not kept.exists():
        return 0
    with kept.open("r+b") as file:
        return PilarnetFile(StagedFile(file, _journal(path))).count


def simulate_file(
    path: str | os.PathLike[str],
    events: int,
    *,
    seed: int,
    size: int = 192,
    recipe: Recipe | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> float:
    """Write events 0 to `events` - 1 of a seed to a PILArNet-M file; return the number simulated per second.

    Workers simulate parts of 20 events, and this process appends them, in order, to `unfinished_file(path)`, which is
    renamed when it is complete: after an interruption of any kind the same call continues from there. The file's bytes
    do not depend on the workers or on interruptions. progress: called with the number of events written so far.

    overwrite: replace an existing file. Without it, raises FileExistsError if the file exists; BusyError while another
    process writes the file; WriteError if no space is left, and then the kept events stay; ValueError for numbers below
    1 (seed: 0), and for an unfinished file with more events or of another seed, size, recipe or version.
    """
    check_least({"events": events, "workers": workers, "seed": seed}, events=1, workers=1, seed=0)
    require("h5py")
    path = Path(path)
    recipe = Recipe() if recipe is None else recipe
    simulate(seed, 0, size, recipe=recipe)  # compiles for all workers, and raises for settings it cannot simulate
    path.parent.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        remove_journal(path)
    with lock_of(path):
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(f"{path} already exists and is kept")
        with _unfinished(path, seed, size, recipe) as file:
            if file.count > events:
                raise ValueError(
                    f"{unfinished_file(path)} already contains {file.count} events, but {events} were requested"
                )
            started, first = time.perf_counter(), file.count
            progress(first)
            parts = [numbers for _, numbers in _parts(path, range(first, events))]
            with contextlib.closing(_in_order(parts, seed, size, recipe, workers)) as made:
                for part in made:
                    file.append(part)
                    progress(file.count)
            rate = (events - first) / (time.perf_counter() - started)
        publish(unfinished_file(path), path, overwrite)
        _journal(path).unlink(missing_ok=True)
    return rate


@contextlib.contextmanager
def _unfinished(path: Path, seed: int, size: int, recipe: Recipe) -> Iterator[PilarnetFile]:
    """The unfinished file, new or continued. After an error it contains all complete parts, or does not exist."""
    kept, journal = unfinished_file(path), _journal(path)
    configuration = {"size": size, "seed": seed, "recipe": dataclasses.asdict(recipe)}
    if not kept.exists():
        journal.unlink(missing_ok=True)
    with kept.open("r+b" if kept.exists() else "w+b") as below:
        staged = StagedFile(below, journal)
        file = PilarnetFile(staged, seed, configuration)
        if file.count:
            _check_same(kept, configuration, recipe)
        try:
            yield file
        except BaseException as error:
            staged.rollback()
            if not file.count:
                kept.unlink()
                journal.unlink(missing_ok=True)
            raise named(error, path) from error


def _check_same(kept: Path, configuration: dict[str, Any], recipe: Recipe) -> None:
    """Raise ValueError if simulating now would not give the events of an unfinished file."""
    with PilarnetEvents(kept) as finished:
        recorded = finished.attributes.get("configuration")
        first, last = finished[0], finished[-1]
    new = simulate(configuration["seed"], 0, configuration["size"], recipe=recipe)
    if recorded != json.dumps(configuration, sort_keys=True) or not _same(first, new) or last.ndim != 3:
        raise ValueError(
            f"{kept} contains events of another seed, size, recipe or version: remove it, or write to another file"
        )


def simulate_folder(
    path: str | os.PathLike[str],
    events: int,
    *,
    seed: int,
    size: int = 192,
    workers: int = 1,
    part: int = 500,
    seconds: float = math.inf,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write events 0 to `events` - 1 of a seed to a folder of PILArNet-M files of `part` events each, which
    `open_events` reads as one. Only one process may write it at a time; raises BusyError otherwise.

    No file is begun after `seconds`. The same call, or one for more events, continues from there.
    Returns the number of events in the folder. progress: called with that number.

    Raises ValueError for numbers below 1 (seed: 0), for `events` that are not a multiple of `part`, and for a folder of
    another seed, size, part or version.
    """
    given = {"events": events, "workers": workers, "seed": seed, "part": part}
    check_least(given, events=1, workers=1, seed=0, part=1)
    if events % part:
        raise ValueError(f"events must be a multiple of part, got events={events} and part={part}")
    end, folder, recipe = time.monotonic() + seconds, Path(path), Recipe()
    simulate(seed, 0, size, recipe=recipe)
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder):
        _prepare(folder, {"size": size, "seed": seed, "part": part, "recipe": dataclasses.asdict(recipe)}, recipe)
        missing = [one for one in _parts(folder, range(events), part) if not one[0].exists()]
        done = events - sum(len(numbers) for _, numbers in missing)
        progress(done)
        if not missing or time.monotonic() > end:
            return done
        with contextlib.closing(_make_files(missing, seed, size, recipe, workers)) as making:
            for count in making:  # files begun before the time is up are finished
                done += count
                progress(done)
                if time.monotonic() > end:
                    break
        return events - sum(len(numbers) for file, numbers in missing if not file.exists())


def _parts(folder: Path, events: range, part: int = PART) -> Iterator[tuple[Path, range]]:
    """Split events into parts, with the file of each part if it gets one; the same parts wherever the events begin."""
    for first in sorted({events.start, *range(-(-events.start // part) * part, events.stop, part)}):
        numbers = range(first, min((first // part + 1) * part, events.stop))
        yield folder / f"{numbers.start:08d}-{numbers.stop:08d}.h5", numbers


def _prepare(folder: Path, configuration: dict[str, Any], recipe: Recipe) -> None:
    """Record the configuration in the folder, or check that simulating now would give the events in it."""
    record = json.dumps(configuration, sort_keys=True)
    note = folder / _CONFIGURATION
    if not note.exists():
        write_whole(note, record)
    kept = note.read_text()
    old = sorted(folder.glob("*-*.h5"))
    same = kept == record
    if same and old:
        index = int(old[0].name.split("-")[0])
        new = simulate(configuration["seed"], index, configuration["size"], recipe=recipe)
        with PilarnetEvents(old[0]) as finished:
            same = _same(finished[0], new)
    if not same:
        raise ValueError(
            f"{folder} contains events of another seed, size, recipe or version: remove it, or write to another file"
        )


def _same(one: Event, other: Event) -> bool:
    orders = [np.lexsort(event.coordinates.T) for event in (one, other)]
    return all(
        np.array_equal(getattr(one, field)[orders[0]], getattr(other, field)[orders[1]])
        for field in ("coordinates", "energy", "labels")
    )


def _in_order(
    parts: list[range], seed: int, size: int, recipe: Recipe, workers: int
) -> Generator[list[Packed], None, None]:
    """The events of each part, in order, simulated by processes that work a few parts ahead."""
    if workers == 1 or len(parts) < 2:
        for part in parts:
            yield _pack_part(part, seed, size, recipe)
        return
    left, begun = deque(parts), deque[Future[list[Packed]]]()
    with _pool(workers) as pool:
        while left or begun:
            while left and len(begun) < AHEAD * workers:
                begun.append(pool.submit(_pack_part, left.popleft(), seed, size, recipe))
            yield begun.popleft().result()


def _make_files(
    parts: list[tuple[Path, range]], seed: int, size: int, recipe: Recipe, workers: int
) -> Generator[int, None, None]:
    """Make files; yield the number of events of each file when it is complete."""
    if workers == 1 or len(parts) < 2:
        for part, numbers in parts:
            yield _make_file(part, numbers, seed, size, recipe)
        return
    with _pool(workers) as pool:
        futures = [pool.submit(_make_file, part, numbers, seed, size, recipe) for part, numbers in parts]
        for future in as_completed(futures):
            yield future.result()


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that finish their current work when the block is left."""
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), initializer=_begin_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Ignore Ctrl-C, because the parent handles it and workers finish their part; exit when the parent exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()


def _pack_part(numbers: range, seed: int, size: int, recipe: Recipe) -> list[Packed]:
    return [pack(simulate(seed, index, size, recipe=recipe)) for index in numbers]


def _make_file(path: Path, numbers: range, seed: int, size: int, recipe: Recipe) -> int:
    with PilarnetWriter(path) as writer:
        for index in numbers:
            writer.append(simulate(seed, index, size, recipe=recipe))
    return len(numbers)
