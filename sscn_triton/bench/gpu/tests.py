"""Runs tests from the clone's folder `tests` on the device, after all timing.

As a plugin of pytest, this module also records the outcome of each test as soon as it is known, and leaves out the
tests that have passed before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
OUTCOMES, PASSED = "SSCN_TEST_OUTCOMES", "SSCN_TESTS_PASSED"
"""Environment variables that name a file: for outcomes, one line of JSON per test; of names to leave out, a list."""

ON_A_GPU = {
    "ops/triton/test_gpu.py": "",
    "engines/test_rulebooks.py": "triton and (chosen or many_sites)",
    "engines/test_convolution.py": "triton and (chosen or channels or thousands or summed or bits or direction)",
    "engines/test_pooling.py": "triton and (chosen or number)",
    "nn/test_batch_norm.py": "triton and (torchs or one_row or no_rows)",
}
"""Files and the tests to run in them: those with hand-picked cases, because each case compiles its own kernels."""
TOY = {"ops/triton/test_gpu.py": "empty"}


def run(toy: bool, limit: float, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run the tests, at most ``limit`` seconds, and show their output.

    Returns ``complete`` (whether all tests ran), the names of those that ``passed`` and ``failed``, and the number of
    ``skipped`` ones. Tests that passed according to the ``known`` record of an earlier run are not run again.
    """
    passed = list((known or {}).get("passed", []))
    with tempfile.TemporaryDirectory() as folder:
        outcomes, before = Path(folder) / "outcomes", Path(folder) / "passed"
        outcomes.touch()
        before.write_text(json.dumps(passed), encoding="utf-8")
        code = _pytest(_words(toy), _environment(toy, outcomes, before), limit)
        found = [json.loads(line) for line in outcomes.read_text(encoding="utf-8").splitlines()]
    by_outcome = {outcome: [name for name, one in found if one == outcome] for outcome in ("passed", "failed")}
    record = {
        "complete": code in (0, 1) or (code == 5 and bool(passed)),  # 5: there are no other tests
        "failed": sorted(set(by_outcome["failed"])),
        "passed": sorted({*passed, *by_outcome["passed"]} - set(by_outcome["failed"])),
        "skipped": Counter(one for _, one in found)["skipped"],
    }
    if code is None:
        record["reason"] = f"not done after {limit:.0f} s"
    elif not record["complete"]:
        record["reason"] = f"pytest ended with exit code {code}"
    return record


def _words(toy: bool) -> list[str]:
    chosen = TOY if toy else ON_A_GPU
    names = [f"({Path(file).stem}{f' and ({text})' if text else ''})" for file, text in chosen.items()]
    words = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--durations=10", "-p", "no:cacheprovider"]
    words += ["-p", "sscn_triton.bench.gpu.tests", "-m", "deep or not deep"]
    if not toy and importlib.util.find_spec("xdist"):
        words += ["-n", str(min(12, os.cpu_count() or 1))]
    return [*words, "-k", " or ".join(names), *(str(TESTS / file) for file in chosen)]


def _environment(toy: bool, outcomes: Path, before: Path) -> dict[str, str]:
    """The environment of pytest. It is never a worker of this process's own xdist, whatever the variables say."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"TRITON_INTERPRET": "1" if toy else "0", OUTCOMES: str(outcomes), PASSED: str(before), "PYTHONPATH": path}
    return {**kept, **own}


def _pytest(words: list[str], environment: dict[str, str], limit: float) -> int | None:
    """Pytest's exit code; None if it was ended, with all of its processes, after ``limit`` seconds."""
    process = subprocess.Popen(words, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave out the tests that have passed."""
    passed = set(json.loads(Path(os.environ[PASSED]).read_text(encoding="utf-8")))
    left = [item for item in items if item.nodeid not in passed]
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = left


def pytest_runtest_logreport(report: Any) -> None:
    """Note the outcome of a test or of its fixtures; under xdist only the controller takes notes."""
    if "PYTEST_XDIST_WORKER" in os.environ or (report.when != "call" and report.outcome == "passed"):
        return
    with Path(os.environ[OUTCOMES]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([report.nodeid, report.outcome]) + "\n")
