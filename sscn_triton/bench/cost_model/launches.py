"""The launches, host synchronisations and bytes of a pass on a GPU, counted without a GPU."""

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
    """The requests that a pass makes of a device.

    Attributes:
        kernels: number of launches per kernel of this library.
        operators: number of calls per PyTorch operator that launches; each call is at least one launch.
        waits: number of times the host waited for the device.
        memory: bytes of all arguments and results of kernels and operators, counted at every call.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    waits: int = 0
    memory: int = 0

    @property
    def launches(self) -> int:
        """The number of launches of kernels and operators."""
        return self.kernels.total() + self.operators.total()

    def __str__(self) -> str:
        most = ", ".join(f"{count} {name}" for name, count in (self.kernels + self.operators).most_common())
        return f"{self.launches} launches, {self.waits} waits, {self.memory / 1e6:.1f} MB: {most}"


class _Watch(TorchDispatchMode):
    """Counts PyTorch's own operators; `launch` counts the kernels of this library."""

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


def asked_by(run: Callable[[], Any], skip: bool = True) -> Asked:
    """The requests that ``run`` makes of a device: a GPU, or the CPU with this library's kernels in place of the CPU's
    own code.

    With ``skip`` the kernels do not run, and results contain whatever was in memory, so rulebooks must already exist.
    """
    from sscn_triton.ops.triton.launch import count_launches

    asked = Asked()
    with count_launches(skip) as launched, _Watch(asked):
        run()
    asked.kernels.update(launch.kernel for launch in launched)
    asked.memory += sum(launch.memory for launch in launched)
    return asked
