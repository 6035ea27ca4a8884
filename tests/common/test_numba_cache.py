"""Machine code that Numba caches between runs never outlives an edit of its sources."""

from __future__ import annotations

import errno
import gc
import importlib.util
import io
import os
import pkgutil
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numba
import pytest
from numba.core import event, types
from numba.core.caching import IndexDataCacheFile, NullCache

import sscn_ref
import sscn_triton
from sscn_ref import numba_cache as reference_cache
from sscn_triton.common import numba_cache

CALL = """
import torch
from sscn_triton.ops.cpu.convolution import convolve, weight_gradient
from sscn_triton.ops.rules import MirroredRules
row = torch.tensor([0], dtype=torch.int32)
rules = MirroredRules(row, row, torch.tensor([[0, 1]]))
print(convolve(torch.ones(1, 4), torch.ones(1, 1, 4, 4), rules, 1).sum().item())
print(weight_gradient(torch.ones(1, 4), torch.ones(1, 4), rules, 1).sum().item())
"""


def kept_functions():
    """All functions of the two packages whose machine code Numba caches."""
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


def test_an_edit_of_the_innermost_file_invalidates_cached_kernels(tmp_path):
    root = Path(sscn_triton.__file__).parent
    shutil.copytree(root, tmp_path / "sscn_triton", ignore=shutil.ignore_patterns("*.tmp.*"))  # with kept kernels

    def results() -> list[str]:
        command = [sys.executable, "-c", CALL]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()

    inner = tmp_path / "sscn_triton" / "ops" / "cpu" / "microkernel.py"
    assert results() == ["16.0", "16.0"]
    whole = inner.read_text()
    assert whole.count("builder.fmul(") == 1
    inner.write_text(whole.replace("builder.fmul(", "builder.fadd("))  # 1 + 1 for 1 * 1
    assert results() == ["32.0", "32.0"]


def test_every_cached_function_works_without_a_cache_folder():
    """Numba's own njit decorates none of them, because it raises an error if there is no folder for its cache."""
    for function in kept_functions():
        package = reference_cache if function.__module__.startswith("sscn_ref.") else numba_cache
        found = importlib.import_module(function.__module__)
        kept = next(value for value in vars(found).values() if getattr(value, "py_func", None) is function)
        assert isinstance(kept._cache, package._Cache), function


class Listener(event.Listener):
    """Calls a function at the start of each event."""

    def __init__(self, called: Callable[..., None]) -> None:
        self.called = called

    def on_start(self, event: object) -> None:
        self.called(event)

    def on_end(self, event: object) -> None:
        pass


USE = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import numpy, torch, sscn_ref.jit, sscn_triton
    x = sscn_triton.SparseTensor(torch.tensor([[2.0], [3.0]]), torch.tensor([[0, 0, 0], [1, 4, 5]]))
    print(sscn_triton.functional.global_pool(x, "sum").flatten().tolist())
    print(sscn_ref.jit.global_pool(numpy.array([[2.0], [3.0]]), numpy.array([[0, 0, 0], [1, 4, 5]]), 2, "sum").ravel())
    x = sscn_triton.nn.BatchNorm(1)(x)
for warning in told:
    if "NUMBA_CACHE_DIR" in str(warning.message):
        print(warning.category.__name__, warning.message)
"""


def test_without_a_writable_cache_both_packages_work_and_warn_once(tmp_path):
    """A read-only installation, used by somebody without a home folder."""
    for package in (sscn_ref, sscn_triton):
        root, copy = Path(package.__file__).parent, tmp_path / package.__name__
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            (folder / "__pycache__").touch()  # a file in place of the folder: nobody can write, not even root
    nowhere = {"HOME": os.devnull, "XDG_CACHE_HOME": f"{os.devnull}/cache", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**os.environ, **nowhere, "PYTHONPATH": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sums, twins, *told = done.stdout.splitlines()
    assert (sums, twins) == ("[2.0, 3.0]", "[2. 3.]")
    assert sorted(line.partition(". ")[2].split()[0] for line in told) == ["sscn_ref", "sscn_triton"]
    for line in told:
        assert line.startswith("RuntimeWarning there is no folder for compiled code, neither beside ")


def test_the_garbage_collector_waits_for_the_compiler() -> None:
    """It took a tenth of the compile time of the first training step."""
    during: list[bool] = []

    def listen(*_: object) -> None:
        during.append(gc.isenabled())

    def twice(x: int) -> int:
        return 2 * x

    compilations: list[Callable[[], object]] = [
        lambda: numba_cache.njit()(twice)(2),
        lambda: numba_cache.cfunc(types.int64(types.int64))(twice),
    ]
    for compilation in compilations:
        during.clear()
        with event.install_listener("numba:run_pass", Listener(listen)):
            compilation()
        assert gc.isenabled()
        assert during
        assert not any(during)
    gc.disable()
    try:
        numba_cache.njit()(twice)(3)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_interrupted_compiler_leaves_the_garbage_collector_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the signal arrives while the collector is paused."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def twice(x: int) -> int:
        return 2 * x

    with event.install_listener("numba:run_pass", Listener(interrupt)), pytest.raises(KeyboardInterrupt):
        numba_cache.njit()(twice)(2)
    assert gc.isenabled()
    pause = gc.disable
    monkeypatch.setattr(gc, "disable", lambda: interrupt(pause()))
    try:
        with pytest.raises(KeyboardInterrupt):
            numba_cache.cfunc(types.int64(types.int64))(twice)
        assert gc.isenabled()
    finally:
        gc.enable()


SOURCE = """
from numba import types
from {package}.numba_cache import {decorator}

@{decorator}({signature}cache=True)
def function(value):
    return value + {number}
"""
DECORATORS = [(reference_cache, "njit"), (numba_cache, "njit"), (numba_cache, "cfunc")]


class Kept:
    """A function whose code is cached in a separate folder. Calling it behaves like a call in another process."""

    def __init__(self, folder, module, decorator):
        self.folder, self.module, self.decorator = folder, module, decorator
        self.cache = folder / "cache"
        self.source = folder / "source.py"
        self.write(1)

    def write(self, number):
        signature = "types.int64(types.int64), " if self.decorator == "cfunc" else ""
        package = self.module.__package__
        self.source.write_text(
            SOURCE.format(package=package, decorator=self.decorator, signature=signature, number=number)
        )

    def call(self):
        """The result for 1, and the warnings."""
        spec = importlib.util.spec_from_file_location("source", self.source)
        module = importlib.util.module_from_spec(spec)
        warned = warnings.catch_warnings(record=True)
        here = mock.patch.object(numba.config, "CACHE_DIR", str(self.cache))
        fresh = mock.patch.object(
            sys, "dont_write_bytecode", True
        )  # Python's cache knows a file by its second and size
        sys.modules[spec.name] = module  # Numba restores cached code in the module that it imports by name
        try:
            with here, fresh, mock.patch.object(self.module, "_warned", False), warned as told:
                warnings.simplefilter("always")
                spec.loader.exec_module(module)
                found = module.function.ctypes(1) if self.decorator == "cfunc" else module.function(1)
        finally:
            del sys.modules[spec.name]
        return found, [str(warning.message) for warning in told]

    def files(self, ending):
        return list(self.cache.rglob(f"*.{ending}"))


@pytest.fixture(params=DECORATORS, ids=lambda case: f"{case[0].__package__}.{case[1]}")
def kept(tmp_path, request):
    return Kept(tmp_path, *request.param)


def test_compiled_code_is_cached_if_a_folder_is_writable(kept):
    assert kept.call() == (2, [])
    assert kept.files("nbi")
    gc.collect()  # the compiled function's environment is not found in memory, as in another process
    with mock.patch.object(numba_cache._Cache, "_save_overload", side_effect=AssertionError):
        assert kept.call() == (2, [])


def test_a_removed_cache_folder_is_recreated_or_not_used(kept):
    kept.call()
    shutil.rmtree(kept.cache)
    assert kept.call() == (2, [])
    made = IndexDataCacheFile.load

    def removed(self, key):
        shutil.rmtree(kept.cache)
        kept.cache.touch()  # and a file replaces it
        return made(self, key)

    with mock.patch.object(IndexDataCacheFile, "load", removed):
        found, told = kept.call()
    assert found == 2
    assert len(told) == 1
    assert "NUMBA_CACHE_DIR" in told[0]


def test_a_full_disk_leaves_no_index_that_names_older_code(kept):
    """Numba writes the index first; it may then name a file that contains code of another source."""
    assert kept.call() == (2, [])
    kept.write(2)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch.object(IndexDataCacheFile, "_save_data", side_effect=full):
        found, told = kept.call()
    assert found == 3
    assert len(told) == 1
    assert "cannot be written (OSError: [Errno 28] No space left on device)" in told[0]
    assert kept.call() == (3, [])


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [b"", b"\x80\x04damaged"], ids=["empty", "damaged"])
def test_damaged_files_are_replaced(kept, ending, damage):
    kept.call()
    for path in kept.files(ending):
        path.write_bytes(damage)
    found, told = kept.call()
    assert found == 2
    assert len(told) == 1
    assert "cannot be read" in told[0]
    assert kept.call() == (2, [])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def unannounced(monkeypatch):
    monkeypatch.setattr(numba_cache, "_announced", False)


@pytest.mark.usefixtures("unannounced")
@pytest.mark.parametrize("screen", [Terminal, io.StringIO])
@pytest.mark.parametrize("decorator", ["njit", "cfunc"])
def test_a_terminal_shows_one_line_while_code_is_compiled_and_none_when_it_is_kept(tmp_path, decorator, screen):
    def stderr_of(folder: str) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        with mock.patch.object(sys, "stderr", screen()) as stderr:
            assert Kept(tmp_path / folder, numba_cache, decorator).call() == (2, [])
        return stderr.getvalue()

    first, *others = stderr_of("a"), stderr_of("b")
    numba_cache._announced = False  # as in another process
    others.append(stderr_of("a"))
    assert others == ["", ""]
    if screen is Terminal:
        assert first.startswith(f"sscn_triton: compiling once, machine code is kept in {tmp_path / 'a' / 'cache'}")
        assert first.count("\n") == 1
    else:
        assert first == ""


def test_a_function_is_compiled_once_per_type_whatever_constants_its_callers_pass():
    @numba_cache.njit()
    def inner(first, second, third=1.0):
        return first + second * third

    @numba_cache.njit()
    def outer(x):
        return inner(x, 1, 2.0) + inner(3, 4, 2.0) + inner(x, second=5, third=x * 0.5)

    assert outer(2) == 4 + 11 + 7
    assert len(inner.signatures) == 1
