"""Runs tests from the clone's folder `tests` on the device, before any timing."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
LIMIT = 200.0
"""Time limit of the tests in seconds."""

ON_A_GPU = {
    "ops/triton/test_gpu.py": "",
    "engines/test_rulebooks.py": "triton and (chosen or many_sites)",
    "engines/test_convolution.py": "triton and (chosen or channels or thousands or summed or bits or direction)",
    "engines/test_pooling.py": "triton and (chosen or number)",
    "nn/test_batch_norm.py": "triton and (torchs or one_row or no_rows)",
}
"""Files and the tests to run in them: those with hand-picked cases, because each case compiles its own kernels."""
TOY = {"ops/triton/test_gpu.py": "bits or empty"}


def run(toy: bool) -> bool:
    """Run the tests and show their output; returns whether they pass."""
    chosen = TOY if toy else ON_A_GPU
    names = [f"({Path(file).stem}{f' and ({text})' if text else ''})" for file, text in chosen.items()]
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "deep or not deep"]
    if not toy and importlib.util.find_spec("xdist"):
        words += ["-n", str(min(12, os.cpu_count() or 1))]
    words += ["-k", " or ".join(names), *(str(TESTS / file) for file in chosen)]
    environment = {**os.environ, "TRITON_INTERPRET": "1" if toy else "0"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        return subprocess.run(words, cwd=ROOT, env=environment, timeout=LIMIT).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"the tests took more than {LIMIT:.0f} seconds", file=sys.stderr)
        return False


def engine(toy: bool) -> AbstractContextManager[None]:
    """A context for the Triton kernels: a GPU runs them unchanged; in toy mode CPU tensors use them, interpreted."""
    if not toy:
        return contextlib.nullcontext()
    from sscn_triton.ops.triton.interpreted import interpreted

    return interpreted()
