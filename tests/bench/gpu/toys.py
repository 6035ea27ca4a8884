"""A batch of toy size, and a worker without a process of its own."""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton.bench.events import BenchBatch
from sscn_triton.bench.gpu.worker import Bench, Worker, answer
from tests.support.clouds import random_cloud


def toy_batch(images: int = 1, size: int = 8) -> BenchBatch:
    x = random_cloud(60, 1, size=size, batch_size=images)
    return BenchBatch(x.coordinates, x.features.float(), torch.zeros(60, dtype=torch.long), (size,) * 3, images)


class Here(Worker):
    """Does tasks in this process, by the CPU's own code, which is quick; ``asked`` lists them."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012

    def ask(self, task: str, limit: float, **arguments: Any) -> dict[str, Any]:
        Here.asked.append((task, str(arguments.get("cell", ""))))
        bench = Bench(toy=True)
        bench.batch_of = lambda cell, distinct: toy_batch(cell.images, cell.size)  # type: ignore[method-assign]
        return answer(bench, task, arguments)[0]
