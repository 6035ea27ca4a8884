"""The search for tiles keeps every time, goes on where it stopped, and keeps only tiles that are right and faster."""

from __future__ import annotations

from typing import Any

import pytest

from sscn_triton.bench.gpu import tiles
from sscn_triton.bench.gpu.cells import TOY
from sscn_triton.bench.gpu.report import UNFIT, WRONG, tile_lines
from sscn_triton.bench.gpu.tiles import best, in_turns, order_of, search
from sscn_triton.ops.triton.candidates import Problem
from sscn_triton.ops.triton.interpreted import interpreted
from tests.bench.gpu.toys import toy_batch

KEY = "convolution 27 1 16 16 bfloat16 0"


class Stub:
    """A problem with four tiles that runs nothing."""

    def __init__(self, key: str = KEY) -> None:
        self.key, self.untuned = key, (64, 16, 16, 4, 5)

    def candidates(self) -> list[Any]:
        return [(32, 16, 16, 1, 5), (128, 16, 16, 4, 5), (256, 16, 16, 4, 5)]


def test_an_interrupted_search_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(tiles, "problems", lambda *_: [Stub(), Stub("weight_gradient 27 1 16 16 bfloat16 0")])
    monkeypatch.setattr(tiles, "_tried", lambda problem, tile: None)
    monkeypatch.setattr(tiles, "_milliseconds", lambda problem, tile: tried.append((problem.key, tile)) or 1.0)
    first = search(TOY[0], toy_batch(), "cpu", {}, -1.0)
    assert [tile for _, tile in tried] == [Stub().untuned] * 2  # the untuned tiles, whatever the time
    assert first["left"] == 6
    second = search(TOY[0], toy_batch(), "cpu", first["tiles"], 600)
    assert second["left"] == 0
    assert len(tried) == len(set(tried)) == 8
    assert all(len(times) == 4 for times in second["tiles"].values())


def test_kernels_take_turns_in_an_order_that_does_not_change() -> None:
    one, other = Stub(), Stub("weight_gradient 27 1 16 16 bfloat16 0")
    turns: Any = list(in_turns([one, other]))  # type: ignore[list-item]
    assert [problem for problem, _ in turns] == [one, other] * 4
    found: Any = Stub()
    assert order_of(found) == order_of(found)
    assert order_of(found)[0] == found.untuned
    assert set(order_of(found)) == {found.untuned, *found.candidates()}


def test_only_right_tiles_that_are_clearly_faster_are_best() -> None:
    untuned = "64 16 16 4 5"
    times = {untuned: 1.0, "32 16 16 1 5": WRONG, "128 16 16 4 5": UNFIT, "256 16 16 4 5": 0.5}
    assert best({KEY: times}, {KEY: untuned}) == {KEY: [256, 16, 16, 4, 5]}
    assert best({KEY: {**times, "256 16 16 4 5": 0.99}}, {KEY: untuned}) == {}
    assert best({KEY: {**times, untuned: WRONG}}, {KEY: untuned}) == {}
    record = {"tiles": {KEY: times}, "untuned": {KEY: untuned}, "best": {KEY: [256, 16, 16, 4, 5]}, "left": 3}
    shown = tile_lines(record)
    assert "4 tiles, 1 wrong, 1 do not fit; untuned 64 16 16 4 5: 1.0000 ms; best 256 16 16 4 5: 0.5000 ms" in shown[0]
    assert shown[1] == "3 tiles are left for the next run"


def test_the_problems_are_both_readings_plain_and_fused() -> None:
    with interpreted():
        found = tiles.problems(TOY[0], toy_batch(), "cpu")
    kernels = {problem.key.kernel for problem in found}
    assert kernels == {"convolution", "fused_convolution", "weight_gradient", "fused_weight_gradient"}


def test_a_wrong_or_unfit_tile_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    with interpreted():
        (problem, *_) = tiles.problems(TOY[0], toy_batch(), "cpu")
    monkeypatch.setattr(Problem, "is_right", lambda self, tile: False)
    assert tiles._tried(problem, problem.untuned) == WRONG

    def unfit(self: Any, tile: Any) -> bool:
        raise RuntimeError("out of resource: shared memory")

    monkeypatch.setattr(Problem, "is_right", unfit)
    assert tiles._tried(problem, problem.untuned) == UNFIT
    monkeypatch.setattr(tiles, "device_works", lambda device: False)
    with pytest.raises(RuntimeError, match="out of resource"):
        tiles._tried(problem, problem.untuned)
