"""A file that a library may rewrite freely, and that at every moment is as it was at the last commit."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .files import write_whole

_PAGE = 4096
_BLOCK = 2**20  # bytes per checksum of the file, a multiple of the page
_JOURNAL = struct.Struct("<8sQQI")  # magic, size of the file, number of pages, checksum of the rest
_MAGIC = b"sscn-jr2"


class StagedFile(io.RawIOBase):
    """Reads like a file and keeps writes in memory, until `commit` writes them to the underlying file.

    HDF5 does not survive a full disk while it writes: it crashes when it closes the file. Here its writes
    cannot fail; `commit` can, outside of the library, with an OSError.

    file: open for writing and reading, in binary, and used by nothing else. Its buffer stays empty, because every later
    call, the closing one included, would write again what a full disk has refused.
    journal: path of a second file, for a file that must survive its process: after the process is killed,
    `StagedFile(file, journal)` is as it was at the last commit. New content goes to the end of the file; changes inside
    it go to the journal first, with checksums of the whole file: a file that another program changed meanwhile raises
    ValueError.
    """

    def __init__(self, file: BinaryIO, journal: Path | None = None) -> None:
        super().__init__()
        self._file: Any = file.raw if isinstance(file, io.BufferedRandom) else file
        self._journal = journal
        self._place = 0
        self._pages: dict[int, bytearray] = {}  # changed pages of the part that existed at the last commit
        self._tail = bytearray()  # content beyond that part
        self._sums: list[int] = []  # checksums of the blocks at the last commit
        self._base = self._valid = self._recover() if journal is not None else 0
        self._size = self._base
        self._safe = self._base
        self._file.truncate(self._base)

    def _recover(self) -> int:
        """Bring the file to the state of the last commit; return its size."""
        assert self._journal is not None
        if not self._journal.exists():
            return 0
        content = self._journal.read_bytes()
        magic, size, count, checksum = _JOURNAL.unpack_from(content)
        body, blocks = content[_JOURNAL.size :], -(-size // _BLOCK)
        if magic != _MAGIC or len(body) != count * (8 + _PAGE) + 4 * blocks or zlib.crc32(body) != checksum:
            raise ValueError(f"{self._journal}: damaged, or of another version")
        pages = body[: count * (8 + _PAGE)]
        if self._file.seek(0, os.SEEK_END) < size:
            raise ValueError(
                f"{self._journal}: does not belong to the file beside it, which is shorter than {size} bytes"
            )
        for start in range(0, len(pages), 8 + _PAGE):
            (number,) = struct.unpack_from("<Q", pages, start)
            self._put(number * _PAGE, pages[start + 8 : start + 8 + _PAGE])
        self._file.truncate(size)
        self._file.seek(0)
        self._sums = list(struct.unpack_from(f"<{blocks}I", body, len(pages)))
        for number, expected in enumerate(self._sums):
            if zlib.crc32(self._file.read(_BLOCK)) != expected:
                where = f"in the {_BLOCK} bytes from {number * _BLOCK}"
                raise ValueError(f"{self._file.name}: damaged, or changed by another program, {where}: remove it")
        return int(size)

    def commit(self) -> None:
        """Write all changes to the disk, or none: after an OSError the file is as it was at the last commit."""
        self._tail.extend(bytes(max(0, self._size - self._base - len(self._tail))))
        for number in range(self._valid // _PAGE, -(-min(self._base, self._size) // _PAGE)):
            self._page(number)  # content that was truncated and extended again is zero
        self._put(self._base, self._tail)
        self._sync()
        pages = {number: self._with_tail(number) for number in sorted(self._pages)}
        if self._journal is not None:
            sums = self._new_sums(pages)
            body = b"".join(struct.pack("<Q", number) + page for number, page in pages.items())
            body += struct.pack(f"<{len(sums)}I", *sums)
            head = _JOURNAL.pack(_MAGIC, self._size, len(pages), zlib.crc32(body))
            write_whole(self._journal, head + body, overwrite=True)
            self._safe, self._sums = self._size, sums
        for number, page in pages.items():
            self._put(number * _PAGE, page)
        self._file.truncate(self._size)
        self._sync()
        self._base = self._valid = self._safe = self._size
        self._pages.clear()
        self._tail = bytearray()

    def _new_sums(self, pages: dict[int, bytes]) -> list[int]:
        """Checksums of all blocks after this commit; only those of changed blocks are computed."""
        count, place = -(-self._size // _BLOCK), self._place
        changed = {number * _PAGE // _BLOCK for number in pages}
        changed.update(range(min(self._base, self._size) // _BLOCK, count))
        sums = (self._sums + [0] * count)[:count]
        for number in sorted(one for one in changed if one < count):
            self.seek(number * _BLOCK)
            sums[number] = zlib.crc32(self.read(_BLOCK) or b"")
        self._place = place
        return sums

    def rollback(self) -> None:
        """Release the space of uncommitted content. Only for the end: the file cannot be used afterwards."""
        self._file.truncate(self._safe)

    def _with_tail(self, number: int) -> bytes:
        """A changed page as it will be written; the last one includes the beginning of the tail."""
        inside = min(_PAGE, self._base - number * _PAGE)
        return bytes(self._pages[number][:inside] + self._tail[: _PAGE - inside]).ljust(_PAGE, b"\0")

    def _put(self, place: int, content: bytes | bytearray) -> None:
        """Write all of it; a raw file may take a part."""
        self._file.seek(place)
        left = memoryview(bytes(content))
        while left:
            left = left[self._file.write(left) :]

    def _sync(self) -> None:
        self._file.flush()
        if self._journal is not None:
            os.fsync(self._file.fileno())

    def _page(self, number: int) -> bytearray:
        """A page of the existing part, to be changed."""
        if number not in self._pages:
            self._pages[number] = bytearray(self._below(number * _PAGE, _PAGE))
        return self._pages[number]

    def _below(self, start: int, count: int) -> bytes:
        """Bytes of the underlying file; zeros beyond the point where it was truncated."""
        self._file.seek(start)
        content = self._file.read(max(0, min(count, self._valid - start)))
        return content.ljust(count, b"\0")

    def write(self, data: Any) -> int:
        given = memoryview(data).cast("B")
        place, rest = self._place, given
        while rest and place < self._base:
            number, offset = divmod(place, _PAGE)
            count = min(_PAGE - offset, len(rest), self._base - place)
            self._page(number)[offset : offset + count] = rest[:count]
            place, rest = place + count, rest[count:]
        if rest:
            offset = place - self._base
            if offset > len(self._tail):
                self._tail.extend(bytes(offset - len(self._tail)))
            self._tail[offset : offset + len(rest)] = rest
        self._place += len(given)
        self._size = max(self._size, self._place)
        return len(given)

    def readinto(self, buffer: Any) -> int:
        into = memoryview(buffer).cast("B")
        count = max(0, min(len(into), self._size - self._place))
        place, done = self._place, 0
        while done < count and place < self._base:
            number, offset = divmod(place, _PAGE)
            if number in self._pages:
                part = min(_PAGE - offset, count - done, self._base - place)
                into[done : done + part] = self._pages[number][offset : offset + part]
            else:
                part = min(self._until_page(number), self._base) - place
                part = min(part, count - done)
                into[done : done + part] = self._below(place, part)
            place, done = place + part, done + part
        if done < count:
            offset = place - self._base
            found = self._tail[offset : offset + count - done]
            into[done : done + len(found)] = found
            into[done + len(found) : count] = bytes(count - done - len(found))
        self._place += count
        return count

    def _until_page(self, number: int) -> int:
        """The start of the next changed page."""
        later = [page for page in self._pages if page > number]
        return min(later) * _PAGE if later else self._base

    def truncate(self, size: int | None = None) -> int:
        self._size = self._place if size is None else size
        self._valid = min(self._valid, self._size)
        for number in [number for number in self._pages if (number + 1) * _PAGE > self._size]:
            page, kept = self._pages[number], max(0, self._size - number * _PAGE)
            page[kept:] = bytes(_PAGE - kept)
        del self._tail[max(0, self._size - self._base) :]
        return self._size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, for work that must not stop in the middle, as calls of a C library."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    heard: list[Any] = []
    signal.signal(signal.SIGINT, lambda *received: heard.append(received))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        before(*heard[0])
