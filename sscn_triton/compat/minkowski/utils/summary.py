"""A table of a network's layers."""

from __future__ import annotations

from typing import Any

import torch


def summary(model: torch.nn.Module, summary_input: Any) -> tuple[int, int]:
    """Print each layer's output shape and number of parameters for one input; returns the numbers of all parameters
    and of those that are trained."""
    text, counts = minkowski_summary_string(model, summary_input)
    print(text)
    return counts


def minkowski_summary_string(model: torch.nn.Module, summary_input: Any) -> tuple[str, tuple[int, int]]:
    """The table of `summary`, and its numbers. Modules without children are listed in the order of their calls."""
    rows: list[tuple[str, str, int]] = []

    def listen(module: torch.nn.Module, given: Any, result: Any) -> None:
        shapes = [list(part.shape) for part in (result if isinstance(result, list | tuple) else [result])]
        parameters = sum(parameter.numel() for parameter in module.parameters())
        name = f"{type(module).__name__}-{len(rows) + 1}"
        rows.append((name, str(shapes[0] if len(shapes) == 1 else shapes), parameters))

    layers = [module for module in model.modules() if not any(_sparse(child) for child in module.children())]
    inside = {id(child) for layer in layers for child in layer.modules() if child is not layer}
    hooks = [layer.register_forward_hook(listen) for layer in layers if id(layer) not in inside]
    try:
        model(summary_input)
    finally:
        for hook in hooks:
            hook.remove()
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    lines = [f"{'Layer (type)':>40}  {'Output shape':>25} {'Parameters':>15}"]
    lines += [f"{name:>40}  {shape:>25} {count:>15,}" for name, shape, count in rows]
    lines += [f"Parameters: {total:,}", f"Trained: {trained:,}", f"Not trained: {total - trained:,}"]
    return "\n".join(lines), (total, trained)


def _sparse(module: torch.nn.Module) -> bool:
    """Whether a module belongs to this package, or contains one that does."""
    home = __name__.rpartition(".utils")[0]
    return any(type(part).__module__.startswith(home) for part in module.modules())
