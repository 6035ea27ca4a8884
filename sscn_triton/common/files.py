"""The one writer: a file gets its name only when it is complete, and no incomplete file is left behind.

This module writes every file of this package. `WholeFile` and `write_whole` write to a temporary name beside the target
and rename that file at the end. By default the target must be new: they replace neither an existing file nor one
that appears meanwhile, and refuse a second simultaneous writer of the same target. With ``overwrite=True`` they replace
the target atomically. `only_writer` lets one process at a time write a folder.

A lock belongs to a process and ends with it, even if the process is killed. If the file system has no `flock`, a
symbolic link that names the process is the lock. If it can neither rename without replacing nor make hard links, the
writer checks once more whether the target exists and then renames.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
import socket
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where renaming never replaces
    fcntl = None  # type: ignore[assignment]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that mean that there is no space left for the file."""

_HERE, _NO_REPLACE = -100, 1  # AT_FDCWD and RENAME_NOREPLACE of Linux
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
_NO_LINKS = (errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP, errno.EACCES, errno.EMLINK, errno.EINVAL)


class WriteError(OSError):
    """A file that could not be written; no part of it is left. `filename` is its final name."""

    def __str__(self) -> str:
        return f"{self.filename}: cannot be written: {self.strerror}"


class BusyError(OSError):
    """Another process, or another writer in this process, is writing the same file or folder."""


def check_new(name: str, path: str | os.PathLike[str], overwrite: bool) -> None:
    """The rule of all commands for the file that an option names: ValueError if it exists, unless `overwrite`.

    Also raises ValueError for a folder, which no file replaces. If the file exists, removes what its writer left behind
    if it was killed after the file got its name.
    """
    if Path(path).is_dir():
        raise ValueError(f"{name} must be a file, but {path} is a folder")
    if os.path.lexists(path):
        remove_left(path)
    if not overwrite and os.path.lexists(path):
        raise ValueError(
            f"{name} must be a new file, but {path} already exists: choose another name, or --overwrite true"
        )


def write_whole(path: str | os.PathLike[str], content: str | bytes | memoryview, *, overwrite: bool = False) -> None:
    """Write a file with this content (text as UTF-8), which appears when it is complete on disk; see `WholeFile`."""
    with WholeFile(path, overwrite=overwrite) as file:
        file.write(content.encode() if isinstance(content, str) else content)


class WholeFile:
    """A file being written: a `with` block receives it open for writing and reading, in binary.

    At the end of the block the file gets its name; an exception removes it. Missing parent folders are created,
    and removed again if the file is removed.

    overwrite: replace an existing file. Without it, raises FileExistsError if the path exists now or at the
    end, and keeps that file, and BusyError while another writer writes the same file. Raises WriteError, an OSError, if
    no space is left; other OSErrors pass unchanged.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path, self.overwrite = Path(path), overwrite
        if self.path.is_dir():
            raise IsADirectoryError(f"{self.path} is a folder, not a file to write")
        self._lock: Lock | None = None
        if not overwrite:
            self._refuse_existing()
        self._made = _make_folders(self.path.parent)
        try:
            if not overwrite:
                self._lock = lock_of(self.path)
                self._refuse_existing()  # the previous holder of the lock may have just finished
            _remove_abandoned(self.path)
            self.unfinished, self.file, self._alive = _create(self.path)
        except BaseException as error:
            _clean(None, None, None, self._lock, self._made)
            raise named(error, self.path) from error
        parts = (self.unfinished, self.file, self._alive, self._lock, self._made)
        self._forgotten = weakref.finalize(self, _clean_own, os.getpid(), *parts)

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.path):
            if self._lock is None:
                remove_left(self.path)
            raise FileExistsError(f"{self.path} already exists and is kept")

    def commit(self) -> None:
        """Give the file its name. On WriteError or FileExistsError the file is removed."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            publish(self.unfinished, self.path, self.overwrite)
            if self._alive is not None:
                self._alive.close()  # HDF5 does not read a locked file
            _sync_folder(self.path.parent)
        except BaseException as error:
            self.discard()
            raise named(error, self.path) from error
        self._forgotten.detach()
        _clean(None, None, None, self._lock, [])

    def discard(self) -> None:
        """Remove the file. Does nothing after `commit` or `discard`."""
        self._forgotten()

    def __enter__(self) -> BinaryIO:
        return self.file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.commit()
            return
        self.discard()
        ours = named(error, self.path)
        if ours is not error:
            raise ours from error


class Lock:
    """A lock that one writer at a time can hold; its file exists while the lock is held.

    path: the lock's file. what: the file or folder being written, for the message. wait: wait for the lock. Raises
    BusyError if another writer holds the lock. Use it as a context manager, or call `release`.
    """

    def __init__(self, path: str | os.PathLike[str], what: str | os.PathLike[str], wait: bool = False) -> None:
        self.path, self.what = Path(path), what
        self._held: _Held | None = None
        while True:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise OSError(error.errno, os.strerror(error.errno or 0), str(what)) from error
            held = _flock(descriptor, wait)
            if held and _is_at(descriptor, self.path):
                self._held = _Held(descriptor)
                return
            os.close(descriptor)
            if held is None:
                self.path.unlink(missing_ok=True)
                self._link()
                return
            if not held:
                raise BusyError(f"{what}: another sscn is writing it")

    def _link(self) -> None:
        """Without flock: only one process can create a symbolic link that names host and process."""
        self.path = self.path.with_name(f"{self.path.name}ed")
        mine = f"{socket.gethostname()}-{os.getpid()}"
        for _ in range(2):
            try:
                self.path.symlink_to(mine)
                return
            except FileExistsError:
                holder = str(self.path.readlink())
                host, _, process = holder.rpartition("-")
                if host != socket.gethostname() or _is_alive(int(process)):
                    raise BusyError(
                        f"{self.what}: another sscn is writing it ({holder}); if that process no longer runs, remove "
                        f"{self.path}"
                    ) from None
                self.path.unlink(missing_ok=True)
        raise BusyError(f"{self.what}: another sscn is writing it")

    def release(self) -> None:
        """Release the lock to other writers."""
        self.path.unlink(missing_ok=True)
        if self._held is not None:
            self._held.close()
            self._held = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


class _Held:
    """A descriptor whose lock belongs to this process alone: forked processes close it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        _all_held.add(self)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_all_held: weakref.WeakSet[_Held] = weakref.WeakSet()


def _close_all_held() -> None:
    for held in list(_all_held):
        held.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all_held)


def _flock(descriptor: int, wait: bool = False) -> bool | None:
    """Whether we got the lock; None if the file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _create(path: Path) -> tuple[Path, BinaryIO, _Held | None]:
    """Create a new file with a temporary name beside `path`, and the lock that shows that its writer is alive."""
    while True:
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            file = unfinished.open("x+b")
        except FileExistsError:
            continue
        if fcntl is None:
            return unfinished, file, None
        alive = os.open(unfinished, os.O_RDWR | os.O_CLOEXEC)
        locked = _flock(alive)
        if locked is not False and _is_at(alive, unfinished):
            return unfinished, file, _Held(alive)
        os.close(alive)  # another process treated it as abandoned before it was locked
        file.close()
        unfinished.unlink(missing_ok=True)


def lock_of(path: Path) -> Lock:
    """The writer's lock of a file. Raises BusyError if another writer holds it."""
    return Lock(path.with_name(f".{path.name}.lock"), path)


def remove_left(path: str | os.PathLike[str]) -> None:
    """Remove what a killed writer of an existing file left behind: its parts and its lock."""
    path = Path(path)
    with contextlib.suppress(OSError):  # another process is writing it, or the folder is read-only
        _remove_abandoned(path)
        if path.with_name(f".{path.name}.lock").exists():
            lock_of(path).release()


def _remove_abandoned(path: Path) -> None:
    """Remove what killed writers of this file left behind."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part")
    with os.scandir(path.parent) as entries:
        left = [path.with_name(entry.name) for entry in entries if name.fullmatch(entry.name)]
    for one in left:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            descriptor = os.open(one, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _flock(descriptor):
                    one.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def publish(unfinished: Path, path: Path, overwrite: bool) -> None:
    """Give a finished file its name, atomically. Raises FileExistsError if a file has it, unless `overwrite`."""
    if overwrite:
        unfinished.replace(path)
        return
    try:
        if not _rename_without_replacing(unfinished, path):
            os.link(unfinished, path)
            unfinished.unlink()
    except FileExistsError:
        raise FileExistsError(f"{path} appeared while it was being written and is kept") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(f"{path} appeared while it was being written and is kept") from None
        unfinished.rename(path)


def _rename_without_replacing(one: Path, other: Path) -> bool:
    """Whether the rename was possible: on Windows and most file systems of Linux. FileExistsError if `other` exists."""
    if os.name == "nt":
        one.rename(other)
        return True
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _NO_REPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _make_folders(folder: Path) -> list[Path]:
    """Make the folder; return the folders that did not exist, innermost first."""
    missing = []
    for one in (folder, *folder.parents):
        if one.exists():
            break
        missing.append(one)
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _clean_own(process: int, *parts: Any) -> None:
    """Clean up, but only in the process that created the file, not in a process forked from it."""
    if process == os.getpid():
        _clean(*parts)


def _clean(
    unfinished: Path | None, file: BinaryIO | None, alive: _Held | None, lock: Lock | None, made: list[Path]
) -> None:
    if file is not None:
        with contextlib.suppress(OSError):  # unwritten content is not needed
            file.close()
    if unfinished is not None:
        unfinished.unlink(missing_ok=True)
    if alive is not None:
        alive.close()
    if lock is not None:
        lock.release()
    for folder in made:
        with contextlib.suppress(OSError):  # other programs may have written something there
            folder.rmdir()


def write_all(file: Any, content: bytes | memoryview) -> int:
    """Write to an unbuffered file, which may accept only a part at a time; return the number of bytes."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    return len(content)


def named(error: BaseException, path: Path) -> BaseException:
    """The error itself; a WriteError if no space was left; an error about `path` in place of a hidden file."""
    if not isinstance(error, OSError) or isinstance(error, WriteError) or error.errno is None:
        return error
    if error.errno in FULL:
        return WriteError(error.errno, os.strerror(error.errno), str(path))
    file = error.filename
    if isinstance(file, str) and Path(file).parent == path.parent and Path(file).name.startswith(f".{path.name}."):
        return OSError(error.errno, os.strerror(error.errno), str(path))
    return error


def _sync_folder(folder: Path) -> None:
    """Flush the folder, because the new name must reach the disk too."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def only_writer(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Inside, no other process writes the existing folder. Raises BusyError if one does."""
    with Lock(Path(folder) / ".lock", folder):
        yield
