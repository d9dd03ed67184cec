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

_HUGE_PAGE_BYTES = 2 * MIB

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


def page_aligned(size_bytes: int) -> memoryview:
    """New memory that begins at a page's border, in huge pages where the kernel has them and ``size_bytes`` fills some.

    The first use of pages of 4 KiB costs a third as much as the network does (measured).
    """
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size_bytes >= _HUGE_PAGE_BYTES:
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def _limit_bytes(limits: tuple[Path, ...]) -> int | None:
    """The container's limit; None if it has none, or none that can be read."""
    for path in limits:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() else None
    return None
