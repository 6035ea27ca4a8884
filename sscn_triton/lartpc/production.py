"""Simulated events in numbers: into a file, by several processes, to be continued after an interruption."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from .event import Event
from .pilarnet import PilarnetEvents, PilarnetWriter
from .simulation import Recipe, simulate

PART = 20
"""Events that are lost at most, in each process, when the work is interrupted."""

_CONFIGURATION = "configuration.json"


def parts_folder(path: str | os.PathLike[str]) -> Path:
    """Where the events of an unfinished file are kept."""
    path = Path(path)
    return path.with_name(f"{path.name}.parts")


def kept_events(path: str | os.PathLike[str]) -> int:
    """How many events of an unfinished file are there."""
    numbers = [part.stem.split("-") for part in parts_folder(path).glob("*-*.h5")]
    return sum(int(stop) - int(start) for start, stop in numbers)


def simulate_file(
    path: str | os.PathLike[str],
    events: int,
    *,
    seed: int,
    size: int = 192,
    recipe: Recipe | None = None,
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> float:
    """Writes events 0 to `events` - 1 of a seed into a PILArNet-M file; gives the events made per second.

    They are made in parts of 20, which are kept beside the file, in `parts_folder(path)`, until all are there: after an
    interruption the same call goes on from there. The file does not depend on the workers or on interruptions.
    progress: called with the number of events that are there.

    Raises ValueError for numbers below 1 (seed: 0) and for parts of another seed, size, recipe or version.
    """
    for name, value, least in (("events", events, 1), ("workers", workers, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    path, folder = Path(path), parts_folder(path)
    recipe = Recipe() if recipe is None else recipe
    configuration = {"size": size, "seed": seed, "recipe": dataclasses.asdict(recipe)}
    simulate(seed, 0, size, recipe=recipe)  # compiles, for all workers, and refuses what it cannot make
    _prepare(folder, configuration, recipe)
    parts = list(_parts(folder, events))
    missing = [part for part in parts if not part[0].exists()]
    started, made = time.perf_counter(), sum(len(numbers) for _, numbers in missing)
    done = events - made
    progress(done)
    for count in _make(missing, seed, size, recipe, workers):
        done += count
        progress(done)
    rate = made / (time.perf_counter() - started) if made else 0.0
    with PilarnetWriter(path, seed=seed, configuration=configuration) as writer:
        for part, _ in parts:
            with PilarnetEvents(part) as finished:
                for event in finished:
                    writer.append(event)
    shutil.rmtree(folder)
    return rate


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
    """Writes events 0 to `events` - 1 of a seed into a folder of PILArNet-M files of `part` events each, which
    `open_events` reads as one: for numbers of events whose copying into one file would take longer than their making.

    No file is begun after so many seconds; the same call goes on from there, and so does one that asks for more events.
    Gives the number of events that are there. progress: called with that number.

    Raises ValueError for numbers below 1 (seed: 0), for `events` that `part` does not divide, and for a folder of
    another seed, size, part or version.
    """
    for name, value, least in (("events", events, 1), ("workers", workers, 1), ("seed", seed, 0), ("part", part, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if events % part:
        raise ValueError(f"events must be a multiple of part, got {events} and {part}")
    end, folder, recipe = time.monotonic() + seconds, Path(path), Recipe()
    simulate(seed, 0, size, recipe=recipe)
    _prepare(folder, {"size": size, "seed": seed, "part": part, "recipe": dataclasses.asdict(recipe)}, recipe)
    missing = [one for one in _parts(folder, events, part) if not one[0].exists()]
    done = events - sum(len(numbers) for _, numbers in missing)
    progress(done)
    if not missing or time.monotonic() > end:
        return done
    making = _make(missing, seed, size, recipe, workers)
    for count in making:
        done += count
        progress(done)
        if time.monotonic() > end:
            making.close()  # what was begun is finished first
            break
    return events - sum(len(numbers) for file, numbers in missing if not file.exists())


def _parts(folder: Path, events: int, part: int = PART) -> Iterator[tuple[Path, range]]:
    for first in range(0, events, part):
        numbers = range(first, min(first + part, events))
        yield folder / f"{numbers.start:08d}-{numbers.stop:08d}.h5", numbers


def _prepare(folder: Path, configuration: dict[str, Any], recipe: Recipe) -> None:
    """Makes the folder, or checks that what is in it would be made again today."""
    folder.mkdir(parents=True, exist_ok=True)
    told = json.dumps(configuration, sort_keys=True)
    note = folder / _CONFIGURATION
    if not note.exists():
        note.write_text(told)
    kept = note.read_text()
    old = sorted(folder.glob("*-*.h5"))
    same = kept == told
    if same and old:
        index = int(old[0].name.split("-")[0])
        new = simulate(configuration["seed"], index, configuration["size"], recipe=recipe)
        with PilarnetEvents(old[0]) as finished:
            same = _same(finished[0], new)
    if not same:
        raise ValueError(
            f"{folder} holds events of another seed, size, recipe or version: remove it, or write to another file"
        )


def _same(one: Event, other: Event) -> bool:
    orders = [np.lexsort(event.coordinates.T) for event in (one, other)]
    return all(
        np.array_equal(getattr(one, field)[orders[0]], getattr(other, field)[orders[1]])
        for field in ("coordinates", "energy", "labels")
    )


def _make(
    parts: list[tuple[Path, range]], seed: int, size: int, recipe: Recipe, workers: int
) -> Generator[int, None, None]:
    """Makes parts; yields the number of events of each as it is there."""
    if workers == 1 or len(parts) < 2:
        for part, numbers in parts:
            yield _make_part(part, numbers, seed, size, recipe)
        return
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), initializer=_ignore_interrupts)
    try:
        futures = [pool.submit(_make_part, part, numbers, seed, size, recipe) for part, numbers in parts]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C is for the process that waits: workers finish their part."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make_part(part: Path, numbers: range, seed: int, size: int, recipe: Recipe) -> int:
    with PilarnetWriter(part) as writer:
        for index in numbers:
            writer.append(simulate(seed, index, size, recipe=recipe))
    return len(numbers)
