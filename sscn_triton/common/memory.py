"""Peak memory of a section of work in this process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """The highest resident memory since construction, above the resident memory at that time.

    On Linux the kernel's high-water mark is reset first, so earlier peaks do not count; memory that the allocator kept
    from earlier work is returned first. Elsewhere the mark cannot be reset, and work that stays below an earlier
    peak of the process reads as 0. Compare two networks only if each runs in its own process.
    """

    def __init__(self) -> None:
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        self.method = "high-water mark of the process, never reset"
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")
            self.method = "high-water mark of a separate process (VmHWM), reset before the network is made"
        self.before = resident_memory()

    def bytes(self) -> int:
        """Bytes above the start at the highest point so far."""
        return max(0, _high_water() - self.before)


class DeviceMemory:
    """The highest memory of tensors on a GPU since construction, above their memory at that time: the study's measure,
    `torch.cuda.max_memory_allocated`."""

    def __init__(self, device: Any) -> None:
        import torch

        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        self.device, self.before = device, torch.cuda.memory_allocated(device)

    def bytes(self) -> int:
        """Bytes above the start at the highest point so far."""
        import torch

        return max(0, torch.cuda.max_memory_allocated(self.device) - self.before)


def resident_memory() -> int:
    """Bytes that this process holds now; its peak if the system does not report the current value."""
    return _resident("VmRSS") or _high_water()


def _resident(field: str) -> int | None:
    """A field of /proc/self/status in bytes; None if there is no such file."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def _high_water() -> int:
    mark = _resident("VmHWM")
    if mark is not None:
        return mark
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
