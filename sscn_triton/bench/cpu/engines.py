"""The engines to time: a training step of the study's network by this library or by SparseConvNet, in its own process.

`sscn_triton.bench.cpu.workers` runs this file as a script. It imports only the standard library before the engine, and
nothing of this library for SparseConvNet, so that import time and memory are those of the engine alone.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

FILTERS, DEPTH, REPETITIONS, CLASSES = 16, 5, 2, 5
ENGINES = ("sscn fp32", "sscn bf16 autocast", "SparseConvNet fp32")


class Ours:
    """The library's own network; ``bf16`` runs it under autocast."""

    def __init__(self, batch: dict[str, Any], bf16: bool) -> None:
        from sscn_triton.models import SparseUResNet

        self.batch, self.bf16 = batch, bf16
        self.network = SparseUResNet(1, CLASSES, FILTERS, DEPTH, REPETITIONS)

    def logits(self) -> Tensor:
        import torch

        from sscn_triton import SparseTensor

        batch = self.batch
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            x = SparseTensor(batch["features"], batch["coordinates"], batch["spatial_shape"], batch["images"])
            return self.network(x).features.float()


class SparseConvNet:
    """The same network of SparseConvNet's layers, which read coordinates as raw memory: batch last, contiguous."""

    def __init__(self, batch: dict[str, Any]) -> None:
        import sparseconvnet as scn  # type: ignore[import-not-found,unused-ignore]
        import torch

        sites = batch["coordinates"].long()
        self.inputs = [torch.cat([sites[:, 1:], sites[:, :1]], 1).contiguous(), batch["features"]]
        widths = [FILTERS * (level + 1) for level in range(DEPTH)]
        self.sparse = scn.Sequential()
        for layer in (
            scn.InputLayer(3, max(batch["spatial_shape"]), mode=3),
            scn.SubmanifoldConvolution(3, 1, FILTERS, 3, False),
            scn.UNet(3, REPETITIONS, widths, residual_blocks=True, downsample=[2, 2]),
            scn.BatchNormReLU(FILTERS),
            scn.OutputLayer(3),
        ):
            self.sparse.add(layer)
        self.network = torch.nn.ModuleList([self.sparse, torch.nn.Linear(FILTERS, CLASSES)])

    def logits(self) -> Tensor:
        return self.network[1](self.sparse(self.inputs))


def load(network: nn.Module, parameters: list[Any]) -> None:
    """Set the parameters, in order. A matrix outside `Linear` is a 1 x 1 layer of SparseConvNet, stored transposed."""
    import torch

    mine = list(network.parameters())
    if len(mine) != len(parameters):
        raise ValueError(f"the network has {len(mine)} parameters, {len(parameters)} were given")
    linear = {id(layer.weight) for layer in network.modules() if isinstance(layer, torch.nn.Linear)}
    with torch.no_grad():
        for target, array in zip(mine, parameters, strict=True):
            value = torch.from_numpy(array)
            transposed = array.ndim == 2 and id(target) not in linear
            target.copy_((value.T if transposed else value).reshape(target.shape))


def step(engine: Any, optimizer: Optimizer) -> dict[str, float]:
    """Make one training step: rulebooks, forward, loss, backward, Adam. Returns seconds."""
    from torch.nn.functional import cross_entropy

    start, cpu = time.perf_counter(), time.process_time()
    loss = cross_entropy(engine.logits(), engine.labels, ignore_index=-1)
    forward = time.perf_counter()
    optimizer.zero_grad()
    loss.backward()
    backward = time.perf_counter()
    optimizer.step()
    end = time.perf_counter()
    return {
        "wall": end - start,
        "cpu": time.process_time() - cpu,
        "rulebooks and forward": forward - start,
        "backward": backward - forward,
        "adam": end - backward,
    }


def fullest(engine: Any) -> dict[str, float | None]:
    """The peak memory so far, and the process's own memory between forward and backward, when everything that the
    gradient needs is kept; in megabytes."""
    from torch.nn.functional import cross_entropy

    loss = cross_entropy(engine.logits(), engine.labels, ignore_index=-1)
    own = memory("RssAnon")
    loss.backward()
    return {"peak MB": memory("VmHWM"), "own MB": own}


def memory(field: str) -> float | None:
    """Memory of this process in megabytes; None if the kernel does not report it.

    VmRSS is the resident memory now, RssAnon its part that is not mapped from files, and VmHWM the resident peak so
    far.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024e-6 for line in lines if line.startswith(f"{field}:")), None)


def begin(name: str) -> dict[str, float | None]:
    """Import the engine; returns seconds for PyTorch and for the whole import, and resident megabytes after it."""
    start = time.perf_counter()
    import torch  # noqa: F401

    halfway = time.perf_counter()
    if name == ENGINES[2]:
        import sparseconvnet  # noqa: F401
    else:
        import sscn_triton  # noqa: F401
    end = time.perf_counter()
    return {"torch import s": halfway - start, "import s": end - start, "MB after import": memory("VmRSS")}


def build(name: str, batch: dict[str, Any], parameters: list[Any], threads: int) -> tuple[Any, Optimizer]:
    """The engine with its network, and an Adam optimiser for it, which updates all parameters in one call."""
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    batch = {key: torch.from_numpy(one) if isinstance(one, np.ndarray) else one for key, one in batch.items()}
    engine: Any = SparseConvNet(batch) if name == ENGINES[2] else Ours(batch, name == ENGINES[1])
    engine.labels = batch["labels"]
    load(engine.network, parameters)
    return engine, torch.optim.Adam(engine.network.parameters(), 1e-3, fused=True)


def serve(name: str, questions: Any, answer: Any) -> None:
    """Import the engine, receive the batch, then answer "logits", "step" and "memory" until the questions end."""
    answer(begin(name))
    engine, optimizer = build(name, *pickle.load(questions))
    answer("ready")
    while True:
        question = pickle.load(questions)
        if question == "logits":
            import torch

            with torch.no_grad():
                answer(engine.logits().numpy())
        else:
            answer(step(engine, optimizer) if question == "step" else fullest(engine))


def main() -> None:
    """Read questions from standard input; the original standard output is reserved for answers."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(value: Any) -> None:
        pickle.dump(value, answers)
        answers.flush()

    try:
        serve(sys.argv[1], sys.stdin.buffer, answer)
    except EOFError:
        pass
    except Exception as error:
        answer(error)


if __name__ == "__main__":
    main()
