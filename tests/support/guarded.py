"""Memory with guard pages on either side: a read or a write one element beyond a tensor ends the process."""

from __future__ import annotations

import ctypes
import mmap
import weakref

import torch

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def walled(tensor: torch.Tensor, at_start: bool = False) -> torch.Tensor:
    """The same numbers in contiguous memory whose end, or whose start, lies directly at a guard page.

    The memory is unmapped when nothing refers to it any more; a system allows a process some 65,000 mappings.
    """
    tensor = tensor.contiguous()
    size = tensor.numel() * tensor.element_size()
    if not size:
        return tensor
    pages = -(-size // PAGE)
    start = _libc.mmap(None, (pages + 2) * PAGE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if start in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    if _libc.mprotect(start + PAGE, pages * PAGE, mmap.PROT_READ | mmap.PROT_WRITE):
        raise OSError(ctypes.get_errno(), "mprotect")
    begin = start + PAGE if at_start else start + (1 + pages) * PAGE - size
    buffer = (ctypes.c_char * size).from_address(begin)
    weakref.finalize(buffer, _libc.munmap, start, (pages + 2) * PAGE).atexit = False
    return torch.frombuffer(buffer, dtype=tensor.dtype).view(tensor.shape).copy_(tensor)
