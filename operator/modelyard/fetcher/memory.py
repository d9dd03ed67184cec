"""How much memory the buffers of a fetch may take: what the container's limit leaves, and no more than is of use."""

import contextlib
import mmap
import resource
from pathlib import Path

MIB = 1024 * 1024

BLOCK_BYTES = MIB
"""The least that a connection receives before it writes: smaller writes take the disk and the processor longer."""

_BLOCK_LIMIT_BYTES = 4 * MIB
"""Larger ones save nothing more (measured)."""

BUDGET_LIMIT_BYTES = 32 * MIB
"""Enough for as many connections as one process can drive."""

_SHARE = 0.5
"""Of what the limit leaves: the kernel's own buffers of sockets and files count as the container's too."""

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of cgroup v2 and v1, as a container sees its own (kernel documentation, "Control Group v2")."""


def budget_bytes(limits: tuple[Path, ...] = _LIMITS) -> int:
    """What all buffers together may take; at least one block."""
    limit = _limit_bytes(limits)
    if limit is None:
        return BUDGET_LIMIT_BYTES
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return max(BLOCK_BYTES, min(BUDGET_LIMIT_BYTES, int((limit - taken) * _SHARE)))


def block_bytes(budget: int, connections: int) -> int:
    """How large each connection's buffer is, when there are so many: few have larger ones."""
    return max(BLOCK_BYTES, min(_BLOCK_LIMIT_BYTES, budget // connections // MIB * MIB))


class Buffer:
    """One connection's memory, from a page's border on; it grows and shrinks without being made anew.

    In huge pages, where the kernel has them: in pages of 4 KiB their first use costs as much as a third of the network
    does (measured).
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BLOCK_LIMIT_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):
            self._memory.madvise(mmap.MADV_HUGEPAGE)
        self.block = memoryview(self._memory)[:BLOCK_BYTES]

    def resize(self, size_bytes: int) -> None:
        """Makes ``block`` so long, of a whole number of pages and at most 4 MiB."""
        if size_bytes < len(self.block):
            self._memory.madvise(mmap.MADV_DONTNEED, size_bytes)
        self.block = memoryview(self._memory)[:size_bytes]


def _limit_bytes(limits: tuple[Path, ...]) -> int | None:
    """The container's limit; None where it has none, or none that can be read."""
    for path in limits:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() else None
    return None
