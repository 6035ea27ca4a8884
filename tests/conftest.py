"""Hypothesis profiles: "default" draws the same cases every time; "deep" (`make test-deep`) draws many more, new ones.
Both draw fewer for interpreted kernels.

The file also provides the folder of the PILArNet events and a build of the book. It makes the settings that Triton and
PyTorch need before they are imported: Triton interprets kernels, and waiting threads sleep."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.support.interpreter import replace_the_language_once

os.environ.setdefault("TRITON_INTERPRET", "1")
os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # PyTorch's idle threads sleep, so that two processes do not compete for the cores

COSTLY = (
    "tests/book/test_book.py",
    "tests/book/test_pages.py",
    "tests/book/test_widgets.py",
    "tests/ops/triton/test_kernel_binaries.py",
    "tests/study/full_size/test_full_size.py",
    "tests/bench/cpu/test_bench.py",
    "tests/study/laptop/test_study.py",
    "tests/study/questions/test_questions.py",
    "tests/lartpc/files/test_damage.py",
    "tests/lartpc/files/test_forgotten_writers.py",
    "tests/nn/test_parallel_values.py",
    "tests/bench/cost_model/test_cost.py",
)
"""Files with expensive fixtures. They run first, so that no process takes over a part of them from another one."""

settings.register_profile(
    "default", max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

FEWER = 4
"""The factor by which hypothesis draws fewer cases for interpreted kernels, which take a hundred times as long."""


@pytest.fixture(scope="session")
def pilarnet_file() -> Path:
    """The five PILArNet events; the environment variable SSCN_DATA names their folder."""
    folder = os.environ.get("SSCN_DATA")
    if not folder:
        pytest.skip("SSCN_DATA is not set: it names the folder of small_192px.root, the PILArNet events")
    path = Path(folder) / "small_192px.root"
    if not path.is_file():
        pytest.skip(f"SSCN_DATA={folder} holds no small_192px.root")
    return path


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The folder of a new build of the book, in which any warning is an error; the processes of one run share it.

    The environment variable SSCN_BOOK names a finished build to use instead.
    """
    if "SSCN_BOOK" in os.environ:
        return Path(os.environ["SSCN_BOOK"])
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # every process has its own folder below that of the run
        folder = folder.parent
    outcome, html = folder / "book.txt", folder / "book" / "html"
    with FileLock(folder / "book.lock"):
        if not outcome.exists():
            doctrees, source = folder / "book" / "doctrees", Path(__file__).parents[1] / "book"
            command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", doctrees, source, html]
            built = subprocess.run(command, capture_output=True, text=True, check=False)
            outcome.write_text(built.stderr or "no reason given" if built.returncode else "")
    failed = outcome.read_text()
    assert not failed, failed
    return html


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Interpreted kernels are slow, so only `make test-deep` runs the suite over all engines with them; the default run
    has test_triton.py.

    On a GPU, with TRITON_INTERPRET=0, they are compiled and fast enough. The files of `COSTLY` go first."""
    order = {path: place for place, path in enumerate(COSTLY)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))
    if os.environ["TRITON_INTERPRET"] != "1":
        return
    for item in items:
        engine = getattr(item, "callspec", None) and item.callspec.params.get("engine")
        if getattr(engine, "name", "") == "triton" and item.path.name != "test_triton.py":
            item.add_marker("interpreted")
            item.add_marker("deep")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Draw fewer cases if the test runs interpreted kernels. A test's settings are an attribute of its function, which
    the tests of all engines share."""
    test = getattr(item, "obj", None)
    if not (item.get_closest_marker("interpreted") and is_hypothesis_test(test)):
        return (yield)
    usual = test._hypothesis_internal_use_settings
    test._hypothesis_internal_use_settings = settings(usual, max_examples=usual.max_examples // FEWER)
    try:
        return (yield)
    finally:
        test._hypothesis_internal_use_settings = usual


def pytest_runtest_setup() -> None:
    """Before each test, because Triton may be imported when the first kernel runs."""
    replace_the_language_once()
