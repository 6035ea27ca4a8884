"""Fast tiles for a model's convolutions, measured on request and never inside a pass."""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton.core.tensor import SparseTensor


def tune(model: torch.nn.Module, tensor: SparseTensor) -> list[Any]:
    """Measure which tiles are fastest for the convolutions of ``model(tensor)`` on its GPU, and store them.

    One pass runs, in training mode with its backward pass, in the precision in which this is called; then each kind of
    convolution is tried with a few dozen tiles on random numbers. A tile that gives a wrong result is discarded before
    it is timed. The winners are written to a file of the user's cache (``$XDG_CACHE_HOME/sscn/tiles``), by the name of
    the device and of Triton's version, and every later process uses them for any batch of about that size; this process
    uses them at once. Parameters keep their values and gradients; running statistics and random generators advance.

    Returns a `sscn_triton.ops.triton.candidates.Trial` per kind: tiles, times, how many were tried and wrong.
    Raises ValueError if the tensor is not on a GPU.
    """
    if not isinstance(model, torch.nn.Module) or not isinstance(tensor, SparseTensor):
        raise TypeError(
            f"tune takes a torch.nn.Module and a SparseTensor, got {type(model).__name__} and {type(tensor).__name__}"
        )
    if tensor.device.type != "cuda":
        raise ValueError(f"tune measures on a GPU, but the tensor is on {tensor.device}")
    from sscn_triton.ops.triton import candidates

    def run() -> None:
        with torch.set_grad_enabled(model.training):
            y = model(tensor)
        if model.training:
            output = y.features if isinstance(y, SparseTensor) else y
            parameters = [p for p in model.parameters() if p.requires_grad]
            torch.autograd.grad(output.float().sum(), parameters, allow_unused=True)

    return candidates.tune(run, tensor.device)
