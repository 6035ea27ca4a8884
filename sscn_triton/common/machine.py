"""Describe the machine of a study: processor, memory, versions."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Processor, cores, memory and versions; nothing that identifies the machine or its user."""
    import torch

    from sscn_triton import __version__

    return {
        "processor": _processor(),
        "cores": cores(),
        "torch threads": torch.get_num_threads(),
        "memory_gb": memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sscn": __version__,
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(wanted: str) -> str:
    """cpu or cuda, from auto, cpu or cuda; raises ValueError for a GPU that does not exist."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but PyTorch finds no GPU here")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def load_average() -> float | None:
    """Processes that wanted a core, averaged over the last minute; None if the system does not report it."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def memory_gb() -> float | None:
    """Memory of the machine in GB (1e9); None if the system does not report it."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def free_memory() -> int:
    """Bytes that this process may still allocate before the system swaps or kills it: what the system reports as
    available, or what the limits of the process's control groups (batch systems, containers) leave, whichever is less.
    Half of the machine's memory if the system does not report that, 4 GB if it does not report the memory either."""
    available = _meminfo("MemAvailable")
    if available is None:
        return int(1e9 * (memory_gb() or 8.0) / 2)
    return max(0, min([available, *_left_in_groups()]))


def _meminfo(field: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)


def _left_in_groups() -> list[int]:
    """Limit minus usage of every control group (of either version) of this process that has a limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    left = []
    for _, controllers, group in (line.split(":", 2) for line in lines):
        if controllers not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup") / controllers
        limit, usage = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else (
            "memory.max", "memory.current"
        )  # fmt: skip
        here = root / group.lstrip("/")
        for folder in (here, *here.parents):
            if folder == root.parent or root not in (folder, *folder.parents):
                break
            try:
                left.append(int((folder / limit).read_text()) - int((folder / usage).read_text()))
            except (OSError, ValueError):  # the group is not visible in here, or the limit is "max"
                continue
    return left


def missing_compiler() -> str | None:
    """What Triton lacks to compile here, None if nothing. Moves its cache to the temporary folder if the usual one
    cannot be written."""
    if not (os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))):
        return "no C compiler (cc, gcc, clang, or one named by CC), which Triton needs at its first launch"
    home = Path(os.environ.get("TRITON_CACHE_DIR") or Path.home() / ".triton")
    try:
        home.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=home).close()
    except OSError:
        os.environ["TRITON_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / "triton")
    return None
