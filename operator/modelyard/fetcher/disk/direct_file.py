"""A file that is written in any order, past the page cache where the file system allows.

Writing through the page cache costs more than the network does (a copy, and memory that is taken and given back). What
is no multiple of a page (a file's last bytes, the edges of unaligned parts) goes through it all the same.
"""

import contextlib
import logging
import mmap
import os
from pathlib import Path

_log = logging.getLogger(__name__)
_logged_buffered = False

PAGE_BYTES = 4096
"""O_DIRECT requires file offsets, lengths and memory addresses to be multiples of this, on every disk of today."""

_HUGE_PAGE_BYTES = 2 * 1024 * 1024


class DirectFile:
    """Open for writing, at its full size. Thread-safe for bytes that are not the same. Methods raise OSError."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._buffered = os.open(path, flags, 0o644)
        self._direct: int | None = None
        try:
            if os.fstat(self._buffered).st_size != size_bytes:
                os.ftruncate(self._buffered, 0)
            if size_bytes:
                os.posix_fallocate(self._buffered, 0, size_bytes)
            if size_bytes >= PAGE_BYTES:
                self._direct = _open_direct(path)
        except BaseException:
            self.close()
            raise

    def write(self, block: memoryview, offset: int) -> None:
        """Writes all of the block at ``offset``. Its memory must be as aligned: ``offset % PAGE_BYTES`` bytes
        into a page.
        """
        if self._direct is None:
            _write_all(self._buffered, block, offset)
            return
        head = min(-offset % PAGE_BYTES, len(block))
        middle = (len(block) - head) // PAGE_BYTES * PAGE_BYTES
        _write_all(self._buffered, block[:head], offset)
        _write_all(self._direct, block[head : head + middle], offset + head)
        _write_all(self._buffered, block[head + middle :], offset + head + middle)

    def read(self, block: memoryview, offset: int) -> None:
        """Fills the block with what was written at ``offset``; aligned as ``write`` requires."""
        descriptor = self._buffered
        if self._direct is not None and offset % PAGE_BYTES == 0 and len(block) % PAGE_BYTES == 0:
            descriptor = self._direct
        while block:
            count = os.preadv(descriptor, [block], offset)
            if not count:
                raise OSError(f"the file ends at byte {offset}, where it was written before")
            block, offset = block[count:], offset + count

    def sync(self) -> None:
        """Makes what was written outlive a power cut."""
        os.fdatasync(self._buffered)

    def close(self) -> None:
        for descriptor in (self._direct, self._buffered):
            if descriptor is not None:
                os.close(descriptor)


def _open_direct(path: Path) -> int | None:
    """None if the file system refuses, which is logged once."""
    global _logged_buffered  # noqa: PLW0603 - once for all files of the process
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECT)
    except OSError as error:
        if not _logged_buffered:
            _logged_buffered = True
            _log.warning("the cache's file system refuses direct writes (%s): writing through the page cache", error)
        return None


def _write_all(descriptor: int, block: memoryview, offset: int) -> None:
    while block:
        count = os.pwrite(descriptor, block, offset)
        block, offset = block[count:], offset + count


def page_aligned(size_bytes: int) -> memoryview:
    """New memory that begins at a page's border, in huge pages where the kernel has them and ``size_bytes`` fills some.

    The first use of pages of 4 KiB costs a third as much as the network does (measured).
    """
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size_bytes >= _HUGE_PAGE_BYTES:
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)
