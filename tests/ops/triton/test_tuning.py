"""Tiles are kept by what decides them, checked before they are timed, and never lost. Here a stub is the clock."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from sscn_triton import SparseTensor, nn, tune
from sscn_triton.core import rulebook
from sscn_triton.nn import SubmanifoldConv
from sscn_triton.ops.convolution import convolution, weight_gradient
from sscn_triton.ops.triton import candidates, tuning
from sscn_triton.ops.triton import convolution as forward
from sscn_triton.ops.triton.candidates import Problem, search
from sscn_triton.ops.triton.interpreted import interpreted
from sscn_triton.ops.triton.tuning import Call, Key, bucket
from tests.support.cases import block
from tests.support.clouds import random_cloud

CPU = torch.device("cpu")
KEY = Key("convolution", 27, 1, 4, 8, "ieee", 0)
FAST, SLOW, WRONG = forward.Tile(64, 1, 16, 4, 2), forward.Tile(128, 1, 16, 4, 2), forward.Tile(32, 1, 16, 8, 4)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tuning, "_tables", {})


def pair_of_passes(count: int) -> None:
    """A convolution and the kernels of both its gradients on `count` sites."""
    sites = torch.from_numpy(np.ascontiguousarray(block(16, 16, 16)[:count]))
    with interpreted():
        book = rulebook.submanifold(sites, (3, 3, 3), (1, 1, 1))
        x, w = torch.randn(count, 4), torch.randn(27, 1, 4, 8)
        weight_gradient(x, convolution(x, w, book.rules, count), book.rules, 1)


def met(count: int) -> dict[Key, Call]:
    with tuning.meeting() as calls:
        pair_of_passes(count)
    return calls


def test_layers_fused_with_a_norm_have_tiles_of_their_own() -> None:
    sites = torch.from_numpy(block(3, 3, 3))
    network = nn.Sequential(nn.SubmanifoldConv(1, 4, 3), nn.BatchNormReLU(4), nn.SubmanifoldConv(4, 8, 3, bias=False))
    with interpreted(), tuning.meeting() as found:
        network(SparseTensor(torch.randn(27, 1), sites)).features.sum().backward()
    kernels = {key.kernel: (key, call) for key, call in found.items() if key.channels_in == 4}
    assert {"fused_convolution", "fused_weight_gradient"} <= kernels.keys()
    for name in ("fused_convolution", "fused_weight_gradient"):
        one = Problem(*kernels[name], CPU)
        assert one.is_right(one.untuned)
        assert one.is_right(next(one.candidates()))


@cache
def calls() -> dict[Key, Call]:
    return met(70)


def problem() -> Problem:
    return Problem(KEY, calls()[KEY], CPU)


def clock(times: dict[Any, float]) -> Callable[..., float]:
    """A timer that runs nothing: it takes the tile from the call that it should run."""

    def timer(run: Callable[[], Any]) -> float:
        cells = dict(zip(run.__code__.co_freevars, (cell.cell_contents for cell in run.__closure__ or ()), strict=True))
        return times.get(cells.get("tile"), 10.0)

    return timer


def offer(monkeypatch: pytest.MonkeyPatch, *tiles: Any) -> None:
    monkeypatch.setattr(Problem, "candidates", lambda self: iter(tiles))


def test_a_tuning_key_contains_only_a_coarse_size() -> None:
    assert [bucket(n) for n in (0, 1, 4096, 4097, 16384, 16385, 65536, 65537, 500_000)] == [0, 0, 0, 1, 1, 2, 2, 3, 4]
    assert met(60).keys() == met(100).keys() == {KEY, KEY._replace(kernel="weight_gradient")}


def test_the_fastest_correct_tile_is_stored_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, SLOW, FAST)
    trials = candidates.tune(lambda: pair_of_passes(70), CPU, clock({FAST: 2.0, SLOW: 5.0}))
    (best,) = [trial for trial in trials if trial.key == KEY]
    assert (best.best, best.best_ms, best.untuned_ms, best.tried) == (FAST, 2.0, 10.0, 2)
    taken: list[Any] = []
    monkeypatch.setattr(forward, "launch", lambda *_, ROWS, **__: taken.append(ROWS))
    pair = met(70)  # the same key, another pass
    assert KEY in pair
    assert taken == [FAST.rows]


def test_a_faster_tile_with_wrong_results_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, WRONG, FAST)
    run = Problem.run
    for wrong in (lambda y: y * 1.01, lambda y: y * torch.nan, lambda y: y.index_fill(0, torch.tensor([3]), torch.nan)):

        def broken(self: Problem, tile: Any, dtype: Any = None, change: Any = wrong) -> torch.Tensor:
            y = run(self, tile, dtype)
            return change(y) if tile == WRONG else y

        monkeypatch.setattr(Problem, "run", broken)
        trial = search(problem(), clock({WRONG: 0.1, FAST: 2.0}))
        assert (trial.best, trial.wrong) == (FAST, 1)


def test_a_tile_that_does_not_fit_is_skipped_and_a_device_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, WRONG, FAST)
    run, message = Problem.run, "out of resource: shared memory"

    def failing(self: Problem, tile: Any, dtype: Any = None) -> torch.Tensor:
        if tile == WRONG:
            raise RuntimeError(message)
        return run(self, tile, dtype)

    monkeypatch.setattr(Problem, "run", failing)
    assert search(problem(), clock({FAST: 2.0})).unfit == 1
    message = "CUDA error: an illegal memory access was encountered"
    with pytest.raises(RuntimeError, match="illegal memory access"):
        search(problem(), clock({FAST: 2.0}))


def test_a_gain_within_the_noise_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, FAST)
    trial = search(problem(), clock({FAST: 9.9}))
    assert trial.best == trial.untuned


def test_candidates_are_numerous_valid_and_exclude_the_untuned_tile() -> None:
    for key, call in calls().items():
        one = Problem(key, call, CPU)
        tiles = list(one.candidates())
        assert len(set(tiles)) == len(tiles) > 10
        assert one.untuned not in tiles
        assert all(n & (n - 1) == 0 for tile in tiles for n in tile[:4])
        assert {tile.warps for tile in tiles} == {1, 2, 4, 8}
        assert max(tile[0] for tile in tiles) == 256


def test_a_damaged_file_is_ignored_with_a_warning() -> None:
    path = tuning.keep(CPU, {KEY: tuple(FAST)})
    assert tuning.read(path) == {KEY: tuple(FAST)}
    for text in (
        "{",
        '{"tiles": {"convolution 27": [1, 2, 3, 4, 5]}}',
        json.dumps({"tiles": {str(KEY): [64, 1, 16, 4]}}),
    ):
        path.write_text(text)
        with pytest.warns(UserWarning, match="is left aside"):
            assert tuning.read(path) == {}


def test_files_of_other_devices_and_versions_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    tuning.keep(CPU, {KEY: tuple(FAST)})
    assert tuning.load(CPU) == {KEY: tuple(FAST)}
    monkeypatch.setattr(tuning.triton, "__version__", "0.0.0")
    assert tuning.load(CPU) == {}


def keep_some(start: int) -> None:
    for taps in range(start, start + 10):
        tuning.keep(CPU, {KEY._replace(taps=taps): (64, 16, 16, 4, 3)})


def test_processes_that_write_at_once_lose_nothing() -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=keep_some, args=(100 * n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(tuning.load(CPU)) == 40
    assert [path.suffix for path in tuning.cache_folder().iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("home", ["no folder", "unknown"])
def test_without_a_home_folder_tuned_tiles_last_for_one_process(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    if home == "no folder":
        monkeypatch.setenv("HOME", os.devnull)
    else:
        monkeypatch.setattr(Path, "expanduser", mock.Mock(side_effect=RuntimeError("Could not determine home")))
        monkeypatch.setattr(Path, "home", mock.Mock(side_effect=RuntimeError("Could not determine home")))
    assert tuning.load(CPU) == {}
    found = {KEY: calls()[KEY]}
    trial = candidates.Trial(KEY, SLOW, FAST, 2.0, 1.0)
    monkeypatch.setattr(tuning, "meeting", lambda: contextlib.nullcontext(found))
    monkeypatch.setattr(candidates, "search", lambda *_: trial)
    with pytest.warns(UserWarning, match="this process has the tiles that were found, but they cannot be kept"):
        assert candidates.tune(lambda: None, CPU) == [trial]
    assert tuning._tables[CPU] == {KEY: FAST}


def test_tuning_without_a_gpu_is_refused() -> None:
    with pytest.raises(ValueError, match="tune measures on a GPU, but the tensor is on cpu"):
        tune(SubmanifoldConv(1, 1, 3), random_cloud(5, 1))
    with pytest.raises(TypeError, match="got SubmanifoldConv and Tensor"):
        tune(SubmanifoldConv(1, 1, 3), torch.zeros(3))  # type: ignore[arg-type]
