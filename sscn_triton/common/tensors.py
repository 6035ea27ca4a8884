"""Write tensors to files, and check those that were read."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.nn import Module
from torch.nn.modules.module import register_module_parameter_registration_hook

from .files import write_whole

Network = TypeVar("Network", bound=Module)


def save_tensors(content: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write the output of `torch.save` to a file that is complete or absent; see `write_whole`.

    It is built in memory first, because PyTorch's writer does not survive a full disk.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer(), overwrite=overwrite)


def check_tensors(what: str, wanted: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    """Check that the tensors in a file have the names and shapes of the network's, and finite values.

    Raises ValueError with the file and the tensor; what: what they are called in the message.
    """
    for name in sorted(wanted.keys() ^ found.keys()):
        problem = f"{name} is missing" if name in wanted else f"the network has no {name}"
        raise ValueError(f"{path}: the {what}s do not belong to the network that the checkpoint names: {problem}")
    for name, own in wanted.items():  # in the network's order, because that of a file is arbitrary
        weight = found[name]
        shape = tuple(getattr(weight, "shape", ()))
        if not isinstance(weight, torch.Tensor) or shape != tuple(own.shape):
            raise ValueError(f"{path}: {what} {name} is {shape}, the network's is {tuple(own.shape)}")
        if not torch.isfinite(weight).all():
            raise ValueError(f"{path}: {what} {name} has values that are not finite")


def made_without_memory(make: Callable[[], Network], most: int) -> Network:
    """The network that `make` returns, with shapes but without values, for `check_tensors`.

    A damaged file may describe any size, so the construction ends with ValueError as soon as it makes more than `most`
    parameters.
    """
    thread, parameters = threading.get_ident(), 0

    def count(module: Module, name: str, parameter: Any) -> None:
        nonlocal parameters
        if parameter is not None and threading.get_ident() == thread:  # the hook sees the modules of all threads
            parameters += 1
            if parameters > most:
                raise ValueError("it describes a network of more tensors than the file has")

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return make()
    finally:
        hook.remove()
