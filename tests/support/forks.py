"""New processes that need not import anything: each is forked from a server that has imported what the tests need."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

IMPORTED = [
    "tests.support.disks",
    "sscn_triton.cli",
    "sscn_triton.study.full_size.command",
    "sscn_triton.study.training.trainer",
    "sscn_triton.lartpc.pictures.display",
    "lightning.pytorch.strategies",
    "torch.distributed.fsdp",
]
"""All tests of a session share one server, which starts with the first of them; the list is therefore one for all."""


def context() -> Any:
    """The context of `multiprocessing` whose processes the server forks."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(IMPORTED)
    return forks


def run_ranks(function: Callable[..., None], *arguments: object, ranks: int = 2) -> None:
    """Run `function(rank, *arguments)` in a process for each rank, as torch.multiprocessing.spawn does; raises a
    process's error."""
    from torch.multiprocessing import start_processes

    context()
    start_processes(function, arguments, ranks, start_method="forkserver")


def run_elastic(function: Callable[..., None], *arguments: object, ranks: int = 2) -> None:
    """Run `function(*arguments)` in processes that torchrun's own agent starts, with its environment variables."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    context()
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=ranks, start_method="forkserver", rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0,
    )  # fmt: skip
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # the agent replaces their handlers
    handlers = [signal.getsignal(name) for name in names]
    try:
        elastic_launch(config, function)(*arguments)
    finally:
        for name, handler in zip(names, handlers, strict=True):
            signal.signal(name, handler)
