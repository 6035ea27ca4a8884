"""The engines of a benchmark. Each has a new process, and they run in turn, so that no two compute at the same time."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from sscn_triton.bench.cpu.engines import ENGINES
from sscn_triton.common.child import Child
from sscn_triton.common.errors import RunError

TOLERANCE, UP_TO = 1e-3, 1 << 18
"""Maximum difference of two engines' logits, relative to the largest, for which they are timed. Above `UP_TO` voxels it
grows in proportion, because SparseConvNet adds a batch norm's sums in float32, row after row, and its rounding error
grows with the number of rows. Against float64 its logits were off by 1.8e-5, 5.3e-5 and 1.1e-3 at 27,382, 109,528 and
1,013,134 voxels, this library's by 4e-6 at all three (five PILArNet events and copies of them, November 2026)."""
STARTS = 3
"""Number of new processes per engine whose import and first step are timed."""
SCRIPT = Path(__file__).with_name("engines.py")
RUN = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


class Worker:
    """A process that has imported an engine; ``start`` contains the cost of the import."""

    def __init__(self, name: str, work: tuple[Any, ...], cache: str | None = None) -> None:
        environment = {"NUMBA_CACHE_DIR": cache} if cache else {}
        self.child = Child(RUN, str(SCRIPT), name, environment=environment)
        self.start = _answered(self.child.answer)
        self.ask(work)

    def ask(self, question: Any) -> Any:
        """Ask the worker and return its answer; raises the worker's error."""
        return _answered(lambda: self.child.ask(question))


def _answered(answer: Callable[[], Any]) -> Any:
    try:
        found = answer()
    except EOFError:
        raise RunError("an engine's process was killed, perhaps because memory ran out; nothing was written") from None
    if isinstance(found, Exception):
        raise found
    return found


@contextlib.contextmanager
def _running(names: tuple[str, ...], work: tuple[Any, ...], cache: str | None = None) -> Iterator[dict[str, Worker]]:
    workers: dict[str, Worker] = {}
    try:
        for name in names:
            workers[name] = Worker(name, work, cache)
        yield workers
    finally:
        for worker in workers.values():
            worker.child.end()


def measure_engines(
    batch: Any, parameters: list[Any], threads: int, repeat: int, cold: bool
) -> dict[str, dict[str, Any]]:
    """Time a training step of each engine, in turn; returns medians, and ratios to the first engine.

    With ``cold``, also time the first step of this library without any cached compiled code. Raises ValueError if an
    engine's logits differ from the first engine's.
    """
    names = ENGINES if importlib.util.find_spec("sparseconvnet") else ENGINES[:2]
    arrays = {name: getattr(batch, name).numpy() for name in ("coordinates", "features", "labels")}
    work = ({**arrays, "spatial_shape": batch.spatial_shape, "images": batch.images}, parameters, threads)
    with _running(names, work) as workers:  # also fills the cache of compiled code if it is empty
        agreement = compare({name: worker.ask("logits") for name, worker in workers.items()})
        for _ in range(2):
            _steps(workers)
        rounds = [_steps(workers) for _ in range(repeat)]
        memory = {name: worker.ask("memory") for name, worker in workers.items()}
    starts = [_starts(names, work) for _ in range(min(repeat, STARTS))]
    results = {}
    for name in names:
        start = {key: _median([one[name][key] for one in starts]) for key in starts[0][name]}
        results[name] = {**summary(name, rounds), **start, **memory[name]}
        if name in agreement:
            results[name]["largest relative difference of logits"] = agreement[name]
    if cold:
        with tempfile.TemporaryDirectory() as cache:
            results[names[0]]["first step s, nothing kept"] = _starts(names[:1], work, cache)[names[0]]["first step s"]
    return results


def _starts(names: tuple[str, ...], work: tuple[Any, ...], cache: str | None = None) -> dict[str, dict[str, Any]]:
    """The costs of import and first step in a new process of each engine."""
    found = {}
    for name in names:
        with _running((name,), work, cache) as workers:
            worker = workers[name]
            found[name] = {**worker.start, "first step s": worker.ask("step")["wall"]}
    return found


def _steps(workers: dict[str, Worker]) -> dict[str, dict[str, float]]:
    return {name: worker.ask("step") for name, worker in workers.items()}


def _median(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return median(numbers) if numbers else None


def compare(logits: dict[str, Any]) -> dict[str, float]:
    """Difference of each engine's logits from the first's, relative to the largest; ValueError if too large in fp32."""
    first, *others = logits
    scale, allowed = float(abs(logits[first]).max()), TOLERANCE * max(len(logits[first]) / UP_TO, 1)
    found = {name: float(abs(logits[name] - logits[first]).max()) / scale for name in others}
    for name, difference in found.items():
        if "bf16" not in name and difference > allowed:
            far = f"logits differ by {difference:.1e}, allowed {allowed:.1e}"
            raise ValueError(f"{name} computes different results: {far}")
    return found


def summary(name: str, rounds: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Medians; ratios are medians of the ratios within a round, this engine's time over the first's."""
    first = next(iter(rounds[0]))
    result = {f"{key} ms": 1e3 * median(one[name][key] for one in rounds) for key in rounds[0][name]}
    for key in ("wall", "cpu"):
        result[f"{key} ratio"] = median(one[name][key] / one[first][key] for one in rounds)
    return result
