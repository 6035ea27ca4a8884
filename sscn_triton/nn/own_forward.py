"""Whether calling a module runs the forward of its class in this package, and nothing else.

Layers are fused (`sscn_triton.nn.fusion`, `sscn_triton.nn.folding`) only if the result cannot differ. A layer that
someone subclassed, patched, compiled or put hooks on is called like any other module, with its input alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

_Forward = TypeVar("_Forward", bound=Callable[..., Any])

_forwards: set[Any] = {
    torch.nn.Sequential.forward,
    torch.nn.Identity.forward,
}  # PyTorch's that fusion knows
_GLOBAL_HOOKS = (  # PyTorch fills and empties these, and never replaces them
    torch.nn.modules.module._global_forward_pre_hooks,
    torch.nn.modules.module._global_forward_hooks,
    torch.nn.modules.module._global_backward_pre_hooks,
    torch.nn.modules.module._global_backward_hooks,
)
_CALL, _CALL_IMPL = torch.nn.Module.__call__, torch.nn.Module._call_impl


def own_forward(forward: _Forward) -> _Forward:
    """Decorator that registers the forward of a class of this package for `runs_own_forward`."""
    _forwards.add(forward)
    return forward


def runs_own_forward(module: torch.nn.Module) -> bool:
    """Whether calling the module runs a registered forward, and no other code sees its input or output.

    False if the forward is that of a subclass or was replaced, on the module or on its class; if the module was
    compiled, in place or inside a wrapper; or if hooks of any kind, the module's or global ones, would run.
    Parametrizations do not matter: a registered forward reads parameters as attributes, so it gets their values.
    """
    kind, own = type(module), module.__dict__
    return (
        kind.forward in _forwards
        and "forward" not in own
        and kind.__call__ is _CALL
        and kind._call_impl is _CALL_IMPL
        and "_call_impl" not in own
        and own.get("_compiled_call_impl") is None
        and not own["_forward_pre_hooks"]
        and not own["_forward_hooks"]
        and not own["_backward_pre_hooks"]
        and not own["_backward_hooks"]
        and not any(_GLOBAL_HOOKS)
    )
