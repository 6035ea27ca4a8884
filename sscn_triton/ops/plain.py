"""Whether PyTorch's dispatcher would do nothing for the tensors of an operator but call the engine of the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_C: Any = torch._C


def _bits(*names: str) -> int:
    """The dispatch keys of these names as a number."""
    keys = _C.DispatchKeySet(_C.DispatchKey.Undefined)
    for name in names:
        keys = keys | _C.DispatchKeySet(getattr(_C.DispatchKey, name))
    return int(keys.raw_repr())


_TENSOR = _C._dispatch_keys(torch.zeros(1)).raw_repr()
"""The dispatch keys of a CPU tensor that no mode, transform or subclass made; inference tensors have fewer."""
_ADDED = _bits("BackendSelect", "ADInplaceOrView")
"""The dispatch keys that PyTorch adds to every call if no mode or transform is active."""
_USED = _bits("CPU", "AutogradCPU", "ADInplaceOrView")
_TYPES = frozenset((Tensor, torch.nn.Parameter))


def plain(tensors: Sequence[Any]) -> bool:
    """Whether these are plain tensors on the CPU (after the first, lists of them or None too), and PyTorch is in no
    special state: no mode, transform, tracer or profiler waits for the operators that are called. The caller knows that
    no graph is compiled.

    Tensors in lists are rules, which an operator made: only their type and device are looked at.
    """
    if (
        not tensors[0].is_cpu
        or _C._dispatch_tls_local_include_set().raw_repr() != _ADDED
        or _C._dispatch_tls_local_exclude_set().raw_repr() & _USED
        or _C._len_torch_function_stack()
        or _C._autograd._profiler_enabled()
        or forward_ad._current_level >= 0
    ):
        return False
    for tensor in tensors:
        if tensor is None:
            continue
        if isinstance(tensor, (list, tuple)):
            for one in tensor:
                if type(one) is not Tensor or not one.is_cpu:
                    return False
        elif type(tensor) not in _TYPES or _C._dispatch_keys(tensor).raw_repr() != _TENSOR:
            return False
    return True
