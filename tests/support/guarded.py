"""Memory with guard pages on either side: a read or a write one element beyond a tensor ends the process."""

from __future__ import annotations

import ctypes
import mmap
import weakref

import llvmlite.binding as llvm
import torch

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _between_walls(size: int) -> tuple[int, int]:
    """The address of the first of two guard pages, and the number of pages that `size` bytes between them need."""
    pages = -(-size // PAGE)
    start = _libc.mmap(None, (pages + 2) * PAGE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if start in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    if _libc.mprotect(start + PAGE, pages * PAGE, mmap.PROT_READ | mmap.PROT_WRITE):
        raise OSError(ctypes.get_errno(), "mprotect")
    return start, pages


def walled(tensor: torch.Tensor, at_start: bool = False) -> torch.Tensor:
    """The same numbers in contiguous memory whose end, or whose start, lies directly at a guard page.

    The memory is unmapped when nothing refers to it any more; a system allows a process some 65,000 mappings.
    """
    tensor = tensor.contiguous()
    size = tensor.numel() * tensor.element_size()
    if not size:
        return tensor
    start, pages = _between_walls(size)
    begin = start + PAGE if at_start else start + (1 + pages) * PAGE - size
    buffer = (ctypes.c_char * size).from_address(begin)
    weakref.finalize(buffer, _libc.munmap, start, (pages + 2) * PAGE).atexit = False
    return torch.frombuffer(buffer, dtype=tensor.dtype).view(tensor.shape).copy_(tensor)


class WalledClaims:
    """Replaces C's ``malloc`` and ``free`` in the compiled code that this process loads from now on.

    What a kernel claims (`jobs.claim`) ends at a guard page, or less than 64 bytes before it, and is filled with NaN.
    `taken` counts the claims, `held` has those that are not released, and `refused` says that there is no memory.
    """

    def __init__(self) -> None:
        self.taken, self.refused = 0, False
        self.held: dict[int, tuple[int, int]] = {}
        self._malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(self._take)
        self._free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._give_back)
        for name, function in (("malloc", self._malloc), ("free", self._free)):
            llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)

    def _take(self, size: int) -> int | None:
        if self.refused:
            return None
        used = -(-(size - 72) // 64) * 64  # a claim adds 72 bytes: a word, and what moves it to a multiple of 64
        start, pages = _between_walls(used + 8)
        ctypes.memset(start + PAGE, 0xFF, pages * PAGE)
        address = start + (1 + pages) * PAGE - used - 8
        self.taken += 1
        self.held[address] = start, pages
        return address

    def _give_back(self, address: int) -> None:
        start, pages = self.held.pop(address)
        _libc.munmap(start, (pages + 2) * PAGE)
