"""Kernels are launched by the names of their arguments, whose shapes their docstrings give."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from sscn_triton.ops.triton import launch, statistics

FOLDER = Path(inspect.getfile(launch)).parent
KERNELS = {
    f"{path.stem}.{name}": thing.fn
    for path in sorted(FOLDER.glob("[a-z]*.py"))
    for name, thing in vars(importlib.import_module(f"sscn_triton.ops.triton.{path.stem}")).items()
    if name.endswith("_kernel")
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_a_kernel_gives_the_shapes_of_its_arguments(kernel: Any) -> None:
    text = inspect.getdoc(kernel) or ""
    assert "``[" in text or "As `" in text


def test_a_launch_takes_names_alone() -> None:
    x = torch.zeros(3)
    with pytest.raises(TypeError):
        launch.launch(statistics.add_kernel, (1,), x, x)  # type: ignore[call-arg]
    with launch.count_launches(skip=True) as listed:
        launch.launch(statistics.add_kernel, (1,), slopes=x, sums=x, rows=3)
        launch.launch(statistics.add_kernel, (0,), slopes=x, sums=x, rows=0)
    assert listed == [launch.Launch("add_kernel", 24)]


@pytest.mark.parametrize(("value", "least"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (64, 64), (65, 128)])
def test_power_of_two_is_the_least_that_suffices(value: int, least: int) -> None:
    assert launch.power_of_two(value) == least
