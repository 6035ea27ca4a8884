"""Fast tiles for a model's convolutions, measured when asked for and never inside a pass."""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton.core.tensor import SparseTensor


def tune(model: torch.nn.Module, tensor: SparseTensor) -> list[Any]:
    """Measure which tiles are fastest for the convolutions of ``model(tensor)`` on its GPU, and keep them.

    One pass is run, backward too in training mode, in whatever precision it is called in; then each kind of convolution
    is tried with a few dozen tiles on random numbers. A tile that gives anything wrong is thrown out before it is
    timed. The winners go into a file of the user's cache (``$XDG_CACHE_HOME/sscn/tiles``), under the name of the device
    and of Triton's version, and every later process takes them for any batch of about that size, this one at once.
    Parameters keep their values and gradients; running statistics and generators of random numbers move on.

    Returns a `sscn_triton.ops.triton.candidates.Trial` for each kind: tiles, times, how many were tried and wrong.
    Raises ValueError for a tensor that is not on a GPU.
    """
    if not isinstance(model, torch.nn.Module) or not isinstance(tensor, SparseTensor):
        given = f"{type(model).__name__} and {type(tensor).__name__}"
        raise TypeError(f"tune takes a torch.nn.Module and a SparseTensor, got {given}")
    if tensor.device.type != "cuda":
        raise ValueError(f"tune measures on a GPU, and the tensor is on {tensor.device}")
    from sscn_triton.ops.triton import candidates

    def run() -> None:
        with torch.set_grad_enabled(model.training):
            y = model(tensor)
        if model.training:
            output = y.features if isinstance(y, SparseTensor) else y
            parameters = [p for p in model.parameters() if p.requires_grad]
            torch.autograd.grad(output.float().sum(), parameters, allow_unused=True)

    return candidates.tune(run, tensor.device)
