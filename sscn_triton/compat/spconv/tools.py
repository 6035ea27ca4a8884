"""spconv's timer, which is always off here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from sscn_triton.compat.missing import names


class CUDAKernelTimer:
    """The timer that tensors carry. It measures nothing; use ``torch.profiler``.

    Args:
        enable: must be False.
    """

    def __init__(self, enable: bool = True) -> None:
        if enable:
            raise ValueError("CUDAKernelTimer's enable must be False: measure with torch.profiler")
        self.enable = False

    def namespace(self, name: str) -> AbstractContextManager[None]:
        """A context that does nothing."""
        return nullcontext()

    def record(self, name: str, stream: int = 0) -> AbstractContextManager[None]:
        """A context that does nothing."""
        return nullcontext()

    def get_all_pair_time(self) -> dict[str, float]:
        """Empty: nothing is measured."""
        return {}

    @staticmethod
    def collect_by_name(name: str, res: dict[str, float]) -> dict[str, float]:
        """The entries of ``res`` whose dotted names contain ``name`` as a part."""
        return {key: value for key, value in res.items() if name in key.split(".")}


__getattr__ = names(__name__, {}, again=("sscn_triton.compat.spconv.cppconstants",))
