"""Exercises of chapter 14: parameters by hand, the U, a norm over active voxels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from sscn_ref import batch_norm
from sscn_triton.models.uresnet import ResidualBlock
from sscn_triton.nn import InverseConv, SparseConv
from sscn_triton.study.training.metrics import event_accuracies

from checker import Case, Share, check, check_numbers, explain_array, short, shown


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (True, False))


def check_tallied(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""

    def count(*modules: torch.nn.Module) -> int:
        return sum(p.numel() for module in modules for p in module.parameters())

    down = SparseConv(16, 32, 2, stride=2, bias=False)
    up = InverseConv(32, 16, 2, stride=2, bias=False)
    events = torch.tensor([0] * 100 + [1] * 900)
    right = torch.tensor([1] * 90 + [0] * 10 + [1] * 450 + [0] * 450)
    logits = torch.nn.functional.one_hot(right, 2)
    accuracy = event_accuracies(logits, torch.ones(1000, dtype=torch.int64), events, 2)
    blocks = count(ResidualBlock(16, 16, 3)), count(ResidualBlock(32, 16, 3))
    numbers = *blocks, count(down, up), math.log(5), Share(accuracy[0].mean())
    check_numbers(answer, numbers)


class Step(NamedTuple):
    """A layer that only records its arguments."""

    name: str

    def __call__(self, *given: Any) -> str:
        return f"{self.name}({', '.join(map(str, given))})"

    def __repr__(self) -> str:
        return self.name


def check_through(answer: Callable[..., Any]) -> None:
    """Check a student's `through(f, levels, join)`."""

    def expected(f: str, levels: list[tuple[Step, ...]], join: Step) -> str:
        passed = [levels[0][0](f)]
        for (_, down, _, _), (encoder, *_) in itertools.pairwise(levels):
            passed.append(encoder(down(passed[-1])))
        result = passed.pop()
        for _, _, up, decoder in reversed(levels[:-1]):
            result = decoder(join(passed.pop(), up(result)))
        return result

    cases: list[Case] = []
    for depth in (1, 2, 3, 5):
        levels: list[tuple[Step, ...]] = [
            tuple(Step(f"{part}{i}") for part in ("E", "down", "up", "D"))
            for i in range(depth - 1)
        ]
        levels.append((Step(f"E{depth - 1}"),))
        cases.append({"f": "f", "levels": levels, "join": Step("join")})
    check(answer, expected, cases, explain_way)


def explain_way(wanted: str, got: Any) -> str:
    """Show the wanted structure and the one received; "" if they are equal."""
    if not isinstance(got, str):
        return f"    wanted {wanted}\n    got    {shown(got)}"
    return "" if str(got) == wanted else f"    wanted {wanted}\n    got    {short(got)}"


def check_masked(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `masked(f, active, eps)`."""

    def expected(f: np.ndarray, active: np.ndarray, eps: float) -> np.ndarray:
        rows, channels = f[:, active].T, len(f)
        h = np.zeros(f.shape)
        h[:, active] = batch_norm(rows, np.ones(channels), np.zeros(channels), eps).T
        return h

    check(answer, expected, images(), explain_array)


def images() -> Iterator[Case]:
    """Active zeros, inactive nonzeros; one, no and all voxels; one to three axes."""
    rng = np.random.default_rng(14)
    line = np.array([[0.0, 2.0, 0.0, 0.0]])
    half = np.array([True, True, False, False])
    one, none = np.arange(4) == 1, np.zeros(4, bool)
    drawn = rng.normal(3, 2, (2, 4, 4, 4)).round(1)
    for eps in (1e-5, 0.5):
        yield {"f": line, "active": half, "eps": eps}
        yield {"f": np.array([[1.0, 3.0, 9.0, 9.0]]), "active": half, "eps": eps}
        for active in (one, none, ~none):
            yield {"f": line, "active": active, "eps": eps}
        yield {"f": drawn[:, 0], "active": drawn[0, 0] > 3, "eps": eps}
        yield {"f": drawn, "active": drawn[0] > 3, "eps": eps}
