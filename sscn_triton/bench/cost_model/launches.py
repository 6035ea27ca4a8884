"""What a pass asks of a GPU: launches, waits of the host, bytes. Counted without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim")
NOTHING = ("empty", "empty_like", "empty_strided", "new_empty", "detach", "alias", "_unsafe_view", "lift_fresh")


@dataclass
class Asked:
    """What was asked of a device.

    Attributes:
        kernels: how often each kernel of this library was launched.
        operators: how often each operator of PyTorch's was, of those that launch; a launch each, at least.
        waits: how often the host waited for the device.
        memory: bytes of all tensors that kernels and operators took and made, each time they did.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    waits: int = 0
    memory: int = 0

    @property
    def launches(self) -> int:
        """Of kernels and operators."""
        return self.kernels.total() + self.operators.total()

    def __str__(self) -> str:
        most = ", ".join(f"{count} {name}" for name, count in (self.kernels + self.operators).most_common())
        return f"{self.launches} launches, {self.waits} waits, {self.memory / 1e6:.1f} MB: {most}"


class _Watch(TorchDispatchMode):
    """Counts PyTorch's own operators; kernels of this library are counted where they are launched."""

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self.asked = asked

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function._schema.name.split("::")[-1]
        self.asked.waits += name in WAITS
        launches = not function.is_view and name not in NOTHING and function.namespace == "aten"
        tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)]
        if launches and any(t.numel() for t in tensors):
            self.asked.operators[name] += 1
            self.asked.memory += sum(t.numel() * t.element_size() for t in tensors)
        return result


def asked_by(run: Callable[[], Any]) -> Asked:
    """What ``run`` asks of a device: on a GPU, or with this library's kernels standing in for the CPU's own code. The
    kernels are not run, so results are whatever was in memory: rulebooks must be there."""
    from sscn_triton.ops.triton.launch import count_launches

    asked = Asked()
    with count_launches(skip=True) as launched, _Watch(asked):
        run()
    asked.kernels.update(launch.kernel for launch in launched)
    asked.memory += sum(launch.memory for launch in launched)
    return asked
