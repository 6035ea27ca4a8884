"""Machine code that Numba keeps between runs never outlives an edit of the sources it was made from."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import numba
from numba.core.caching import NullCache

import sscn_ref
import sscn_triton

CALL = """
import torch
from sscn_triton.ops.cpu.convolution import convolve, weight_gradient
row = torch.tensor([0], dtype=torch.int32)
rules = [row, row, torch.tensor([[0, 1]])]
print(convolve(torch.ones(1, 4), torch.ones(1, 1, 4, 4), rules, 1).sum().item())
print(weight_gradient(torch.ones(1, 4), torch.ones(1, 4), rules, 1).sum().item())
"""


def kept_functions():
    """All functions of the two packages whose machine code Numba keeps."""
    for package in (sscn_ref, sscn_triton):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__") or ".compat" in info.name:
                continue
            for value in vars(importlib.import_module(info.name)).values():
                if hasattr(value, "py_func") and not isinstance(value._cache, NullCache):
                    yield value.py_func


def test_a_kept_function_that_calls_into_other_files_closes_over_their_fingerprint():
    dispatcher, seen = type(numba.njit(kept_functions)), 0
    for function in kept_functions():
        called = [function.__globals__.get(name) for name in function.__code__.co_names]
        foreign = [f for f in called if isinstance(f, dispatcher) and f.py_func.__module__ != function.__module__]
        seen += 1
        assert not foreign or "sources" in function.__code__.co_freevars, function
    assert seen > 20


def test_an_edit_of_the_innermost_file_reaches_the_kept_kernels(tmp_path):
    root = Path(sscn_triton.__file__).parent
    shutil.copytree(root, tmp_path / "sscn_triton", ignore=shutil.ignore_patterns("__pycache__"))

    def results() -> list[str]:
        command = [sys.executable, "-c", CALL]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()

    inner = tmp_path / "sscn_triton" / "ops" / "cpu" / "microkernel.py"
    assert results() == ["16.0", "16.0"]
    whole = inner.read_text()
    assert whole.count("builder.fmul(") == 1
    inner.write_text(whole.replace("builder.fmul(", "builder.fadd("))  # 1 + 1 for 1 * 1
    assert results() == ["32.0", "32.0"]
