"""One reader of PyTorch's float32 settings: what was set last counts, in whichever of its ways and in any order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch

from sscn_triton import nn
from sscn_triton.ops.precision import float32_precision
from tests.support import forks
from tests.support.clouds import random_cloud

SETTINGS = (
    *(("old", value) for value in ("highest", "high", "medium")),
    *(("matmul", value) for value in ("ieee", "tf32", "none")),
    *(("all", value) for value in ("ieee", "tf32", "bf16", "none")),
)


def tell(way: str, value: str) -> None:
    """Set PyTorch's float32 precision in one of its ways."""
    if way == "old":
        torch.set_float32_matmul_precision(value)
    elif way == "matmul":
        torch.backends.cuda.matmul.fp32_precision = value
    else:
        torch.backends.fp32_precision = value


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Nothing is set before a test, and nothing remains set after it."""
    for way, value in (untold := (("old", "highest"), ("matmul", "none"), ("all", "none"))):
        tell(way, value)
    yield
    for way, value in untold:
        tell(way, value)


def wanted(sequence: tuple[tuple[str, str], ...]) -> str:
    """The precision that a user requests by these settings, one after another."""
    old, matmul, general = "highest", "none", "none"
    for way, value in sequence:
        if way == "old":
            old, matmul = value, "ieee" if value == "highest" else "tf32"
        elif way == "matmul":
            matmul = value
        else:
            general = value
    chosen = general if matmul == "none" else matmul
    return ("tf32x3" if old == "high" else "tf32") if chosen == "tf32" else "ieee"


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_precision_follows_pytorchs_settings_in_any_order(length: int) -> None:
    for sequence in itertools.product(SETTINGS, repeat=length):
        for way, value in (("old", "highest"), ("matmul", "none"), ("all", "none"), *sequence):
            tell(way, value)
        assert float32_precision() == wanted(sequence), sequence


@pytest.mark.parametrize(
    ("sequence", "taken"),
    [
        ((("matmul", "tf32"),), "tf32"),
        ((("all", "tf32"),), "tf32"),
        ((("old", "high"),), "tf32x3"),
        ((("old", "high"), ("matmul", "ieee")), "ieee"),
        ((("old", "medium"), ("matmul", "tf32")), "tf32"),
        ((("matmul", "tf32"), ("old", "highest")), "ieee"),
        ((("matmul", "tf32"), ("old", "high")), "tf32x3"),
        ((("matmul", "ieee"), ("all", "tf32")), "ieee"),
        ((("old", "high"), ("matmul", "tf32")), "tf32x3"),  # PyTorch keeps no trace of the second setting
    ],
)
def test_precision_for_common_settings(sequence: tuple[tuple[str, str], ...], taken: str) -> None:
    for way, value in sequence:
        tell(way, value)
    assert float32_precision() == taken


def default_and_general() -> None:
    assert float32_precision() == "ieee"
    torch.backends.fp32_precision = "tf32"
    assert float32_precision() == "tf32"


def test_ieee_is_the_default_in_a_new_process_and_the_general_setting_applies() -> None:
    process = forks.context().Process(target=default_and_general)
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("setting", [("old", "medium"), ("matmul", "tf32"), ("all", "bf16")])
def test_float32_convolution_on_the_cpu_ignores_precision_settings(setting: tuple[str, str]) -> None:
    x = random_cloud(50, channels=32, dtype=torch.float32)
    layer = nn.SubmanifoldConv(32, 32, 3)
    exact = layer(x).features
    tell(*setting)
    assert torch.equal(layer(x).features, exact)
