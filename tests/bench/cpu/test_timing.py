"""Times are medians without the first run, and rates and host times are in the units that are printed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from sscn_triton import SparseTensor
from sscn_triton.bench.cpu import timing


def test_milliseconds_are_the_median_after_a_run_to_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    seconds: Iterator[float] = iter([100.0, 0.25, 8.0, 0.5])

    def work() -> None:
        clock.now += next(seconds)

    assert timing.milliseconds(work, 3) == 500.0
    assert next(seconds, None) is None


def test_a_product_counts_two_operations_per_element(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "milliseconds", lambda work, repeat: work() is None or 4.0)
    assert timing.product_rate(1000, 20, 300, 1) == pytest.approx(2 * 1000 * 20 * 300 / 4e-3 / 1e9)


def test_host_times_are_microseconds_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, given = [], []

    def milliseconds(work: object, repeat: int) -> float:
        before = len(calls)
        work()  # type: ignore[operator]
        return 0.003 * (len(calls) - before)

    monkeypatch.setattr(timing, "milliseconds", milliseconds)
    forward = torch.nn.Module.__call__

    def counted(layer: torch.nn.Module, x: SparseTensor) -> SparseTensor:
        calls.append(1)
        given.append(x)
        return forward(layer, x)

    monkeypatch.setattr(torch.nn.Module, "__call__", counted)
    found = timing.host_times(1)
    assert given[0].features.shape == (8, 4)
    assert sorted(given[0].coordinates.tolist()) == [[0, *place] for place in product((0, 1), repeat=3)]
    assert found == pytest.approx(dict.fromkeys(found, 3.0))
    assert list(found) == [
        "convolution, forward", "convolution, forward and backward",
        "batch norm and ReLU, forward", "batch norm and ReLU, forward and backward",
    ]  # fmt: skip


def test_the_operators_are_the_ten_of_the_most_host_time() -> None:
    x = torch.randn(300, 300)

    def work() -> None:
        for _ in range(3):
            x @ x
        for name in ("relu", "exp", "sin", "cos", "tanh", "sigmoid", "abs", "neg", "sqrt", "floor", "ceil"):
            getattr(torch, name)(x[:1])

    began = time.perf_counter()
    rows = timing.operators(work)
    assert 0 < sum(row["host ms"] for row in rows) <= 1e3 * (time.perf_counter() - began)
    assert len(rows) == 10
    assert [row["host ms"] for row in rows] == sorted((row["host ms"] for row in rows), reverse=True)
    assert next(row for row in rows if row["name"] == "aten::mm")["calls"] == 3
