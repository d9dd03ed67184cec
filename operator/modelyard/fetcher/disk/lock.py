"""One writer per entry and node: a lock on a file of the cache (flock), which dies with the process that holds it.

The first process creates its file; others, who may only read it, can lock it as well. A lock counts only while its file
still has its name, so a process that cleans the cache may remove the file of a lock that it holds.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_S = 0.2
"""How often a waiter retries: the end of a holder wakes only those blocked in the kernel."""

_FILE_MODE = 0o666
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds the lock alone: no other process of the node does, nor one that shares it.

    ``on_wait`` is called about every POLL_S while others hold it. Raises OSError if the file cannot be used.
    """
    with _held(path, fcntl.LOCK_EX, on_wait):
        yield


@contextlib.contextmanager
def shared(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds the lock shared: the entry is neither written nor evicted meanwhile."""
    with _held(path, fcntl.LOCK_SH, on_wait):
        yield


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Holds the lock alone, and gives True; gives False at once where others hold it."""
    descriptor = _try(path, fcntl.LOCK_EX)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def _held(path: Path, operation: int, on_wait: Callable[[], None]) -> Iterator[None]:
    while (descriptor := _try(path, operation)) is None:
        on_wait()
        time.sleep(POLL_S)
    try:
        yield
    finally:
        os.close(descriptor)  # which lets go


def _try(path: Path, operation: int) -> int | None:
    """The descriptor that holds the lock, or None while another process does."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            if _is_named(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(path: Path) -> int:
    """Opens the lock's file, or creates it if it is missing.

    Never opened with O_CREAT alone: in a sticky folder the kernel refuses that for a file of another user
    (fs.protected_regular, proc(5)).
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, _OPEN_FLAGS)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, _OPEN_FLAGS | os.O_CREAT | os.O_EXCL, _FILE_MODE)
            os.fchmod(descriptor, _FILE_MODE)  # whatever the umask
            return descriptor


def _is_named(path: Path, descriptor: int) -> bool:
    """Whether the path still leads to the opened file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
