"""Downloads files from a source into a staging folder: each one complete and verified, or not there.

Workers, as many as the controller decides, each fetch stretches of files over a connection of their own: a block is
received, checked and written before the next one comes, so the number of workers bounds the memory.
"""

import math
import random
import resource
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.disk.direct_file import PAGE_BYTES, page_aligned
from modelyard.fetcher.disk.staging import Part, Staging
from modelyard.fetcher.download.connection_count import ConnectionCount
from modelyard.fetcher.download.file_download import FileDownload
from modelyard.fetcher.download.retrying_reader import AbandonedError, RetryingReader
from modelyard.fetcher.download.stretches import Stretch, Stretches
from modelyard.fetcher.download.verification import WrongBytesError
from modelyard.fetcher.failure import FetchError, WholeFileOnlyError
from modelyard.fetcher.sources.source import Source
from modelyard.fetcher.transport.slowness import Pace

CONNECTIONS_LIMIT = 32
"""More are no faster in one process (measured), and unkind to the server."""

_SAMPLE_EVERY_S = 0.05

_THROTTLED_LIMIT = 8
"""So often in a row, over all workers and without a byte in between, the server may throttle."""

_THROTTLED_PAUSE_S = 0.5

_OTHERS_COME_S = 5.0
"""A connection that cannot be had is borne when bytes came over others within that time."""

MIB = 1024 * 1024

BLOCK_BYTES = MIB
"""The least that a connection receives before it writes: smaller writes take the disk and the processor longer."""

_BLOCK_LIMIT_BYTES = 4 * MIB
"""Larger ones save nothing more (measured)."""

BUDGET_LIMIT_BYTES = 32 * MIB
"""Enough for as many connections as one process can drive."""

_MEMORY_SHARE = 0.5
"""Of what the limit leaves: the kernel's own buffers of sockets and files count as the container's too."""

_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of cgroup v2 and v1, as a container sees its own (kernel documentation, "Control Group v2")."""


def download(
    source: Source, files: Iterable[RemoteFile], staging: Staging, on_bytes: Callable[[int], None], budget: int
) -> None:
    """Downloads what the staging folder lacks. ``budget`` is the memory that all buffers may take, in bytes.

    ``on_bytes`` is called with each block's size as it is written, and with a negative size for what must come again,
    from several threads. Raises the first FetchError or OSError, after all threads have ended.
    """
    arrivals = [FileDownload(file, staging) for file in files if not staging.holds(file)]
    if arrivals:
        _Download(source, arrivals, on_bytes, budget).run()


class _Download:
    def __init__(
        self, source: Source, arrivals: list[FileDownload], on_bytes: Callable[[int], None], budget: int
    ) -> None:
        self._source = source
        self._arrivals = arrivals
        self._on_bytes = on_bytes
        self._budget = budget
        self._controller = ConnectionCount(max(1, min(CONNECTIONS_LIMIT, budget // BLOCK_BYTES)))
        self._queue = Stretches(arrivals)
        self._lock = threading.Lock()
        self._abandoned = threading.Event()
        self._readers: set[RetryingReader] = set()
        self._bytes = 0
        self._came_at_s = -math.inf
        self._throttled = 0
        self._pace = Pace()
        self._error: BaseException | None = None

    def run(self) -> None:
        threads: list[threading.Thread] = []
        while True:
            with self._lock:
                wanted = self._controller.sample(time.monotonic(), self._bytes)
            self._queue.let_work(wanted)
            while len(threads) < wanted:
                threads.append(
                    threading.Thread(target=self._work, args=(len(threads),), name=f"download-{len(threads)}")
                )
                threads[-1].start()
            if self._queue.wait(_SAMPLE_EVERY_S):
                break
        for thread in threads:
            thread.join()
        for arrival in self._arrivals:
            arrival.close()
        if self._error:
            raise self._error

    def _work(self, number: int) -> None:
        buffer = page_aligned(BLOCK_BYTES)
        try:
            while stretch := self._queue.take(number):
                self._fetch(stretch, buffer)
                wanted_bytes = block_bytes(self._budget, self._controller.connections)
                if len(buffer) != wanted_bytes:  # not before the first stretch: so a slow link shows progress soon
                    buffer = page_aligned(wanted_bytes)
        except AbandonedError:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, the thread that waits raises it
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
            self._abandoned.set()
            for reader in self._readers:
                reader.abort()
        self._queue.close()

    def _fetch(self, stretch: Stretch, buffer: memoryview) -> None:
        arrival, parts = stretch.arrival, stretch.parts
        arrival.open()
        if not parts:
            self._finish(arrival, buffer)
            self._queue.give_back(stretch, [])
            return
        begin, end = parts[0].offset, parts[-1].end
        reader = RetryingReader(self._source, arrival.file, begin, end, abandoned=self._abandoned, pace=self._pace)
        with self._lock:
            self._readers.add(reader)
        written = 0
        refusal: FetchError | None = None
        try:
            for part in parts:
                self._fetch_part(reader, arrival, part, buffer)
                written += 1
                if self._queue.written(stretch):
                    self._finish(arrival, buffer)
        except WholeFileOnlyError:
            arrival.is_whole_file_only = True
        except FetchError as error:
            refusal = error
        finally:
            with self._lock:
                self._readers.discard(reader)
            reader.close()
        self._queue.give_back(stretch, parts[written:])
        if refusal:
            self._bear(refusal)

    def _fetch_part(self, reader: RetryingReader, arrival: FileDownload, part: Part, buffer: memoryview) -> None:
        computed = arrival.begin(part)
        offset = part.offset
        try:
            while offset < part.end:
                into_page = offset % PAGE_BYTES
                space = buffer[into_page : into_page + part.end - offset]
                block = space[: reader.fill(space)]
                computed.update(block)
                arrival.write(block, offset)
                offset += len(block)
                self._count(len(block))
        except BaseException:
            self._count(part.offset - offset)
            raise
        arrival.commit(computed, buffer)

    def _count(self, bytes_: int) -> None:
        with self._lock:
            self._bytes += bytes_
            if bytes_ > 0:
                self._throttled, self._came_at_s = 0, time.monotonic()
        self._on_bytes(bytes_)

    def _bear(self, error: FetchError) -> None:
        """Slows down if the server throttles, or breaks some connections while others bring bytes.
        Raises any other error, and these too once no more bytes come.
        """
        with self._lock:
            now_s = time.monotonic()
            breaks_some = error.reason is Reason.ENDPOINT_UNREACHABLE and now_s < self._came_at_s + _OTHERS_COME_S
            self._throttled += 1
            if not (error.reason is Reason.THROTTLED or breaks_some) or self._throttled > _THROTTLED_LIMIT:
                raise error
            self._controller.throttled(now_s)
            pause_s = _THROTTLED_PAUSE_S * 2 ** min(4, self._throttled - 1)
        self._abandoned.wait(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads the workers, nothing secret

    def _finish(self, arrival: FileDownload, buffer: memoryview) -> None:
        """Accepts the file. One whose bytes are wrong gets a second chance, since a link may have flipped a bit."""
        problem = arrival.finish(buffer)
        if not problem:
            return
        if arrival.problem == problem:
            raise WrongBytesError(arrival.file, problem)
        if arrival.problem:
            raise FetchError(
                Reason.CHECKSUM_MISMATCH,
                f"{arrival.file.key} does not match its checksum ({problem}), and had other bytes before "
                f"({arrival.problem}): check the network and the proxies between this node and the source, and the "
                "source's disks",
            )
        self._count(-arrival.file.size_bytes)
        self._queue.begin_again(arrival, problem)


def budget_bytes(limits: tuple[Path, ...] = _MEMORY_LIMITS) -> int:
    """What all buffers together may take; at least one block."""
    limit = _memory_limit_bytes(limits)
    if limit is None:
        return BUDGET_LIMIT_BYTES
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return max(BLOCK_BYTES, min(BUDGET_LIMIT_BYTES, int((limit - taken) * _MEMORY_SHARE)))


def block_bytes(budget: int, connections: int) -> int:
    """How large each connection's buffer is, when there are so many: few have larger ones."""
    return max(BLOCK_BYTES, min(_BLOCK_LIMIT_BYTES, budget // connections // MIB * MIB))


def _memory_limit_bytes(limits: tuple[Path, ...]) -> int | None:
    """The container's limit; None if it has none, or none that can be read."""
    for path in limits:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() else None
    return None
