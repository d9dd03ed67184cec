"""The download of one file: its missing parts, its workers, what is on the disk, and whether that is right."""

import threading
from collections.abc import Callable

from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.disk.direct_file import PAGE_BYTES, DirectFile
from modelyard.fetcher.disk.staging import Part, Staging, parts
from modelyard.fetcher.download.verification import PartSum, Verification

_SYNC_BYTES = 512 * 1024 * 1024
"""A power cut costs at most so much of each file. Syncing more often costs time (measured)."""


class FileDownload:
    """Several threads begin and write parts; the queue alone calls ``take``, ``give_back`` and ``begin_again``.

    Methods that touch the disk raise OSError.
    """

    def __init__(self, file: RemoteFile, staging: Staging) -> None:
        self.file = file
        self._staging = staging
        self._parts = parts(file.size_bytes, file.checksum.part_sizes if file.checksum else ())
        self._verification = Verification(file.checksum, self._parts)
        self._missing = list(reversed(self._verification.resume(staging.parts(file))))
        self._opening = threading.Lock()
        self._opened: DirectFile | None = None
        self._unsynced_bytes = 0
        self.parts_left = len(self._missing)
        """Parts not yet written, being fetched or not."""
        self.workers = 0
        self.is_whole_file_only = False
        """The server does not support ranges: one worker at a time, which skips the bytes that are here already."""
        self.problem = ""
        """What was wrong with its bytes, where they were wrong once."""

    @property
    def is_ordered(self) -> bool:
        return self._verification.is_ordered

    @property
    def left_bytes(self) -> int:
        """What must come before the file is whole."""
        return sum(part.length for part in self._missing)

    @property
    def has_missing(self) -> bool:
        return bool(self._missing)

    def take(self, wanted_bytes: int) -> list[Part]:
        """Missing parts that lie one after the other, of about that many bytes together."""
        taken = [self._missing.pop()]
        taken_bytes = taken[0].length
        while self._missing and self._missing[-1].offset == taken[-1].end and taken_bytes < wanted_bytes:
            taken.append(self._missing.pop())
            taken_bytes += taken[-1].length
        return taken

    def give_back(self, untouched: list[Part]) -> None:
        """Parts that were taken and are still missing."""
        self._missing = sorted([*self._missing, *untouched], key=lambda part: -part.offset)

    def open(self) -> None:
        """Makes the file, at its full size; done already for all workers but the first."""
        with self._opening:
            if self._opened is None:
                self._opened = self._staging.open(self.file)

    def begin(self, part: Part) -> PartSum:
        return self._verification.begin(part)

    def write(self, block: memoryview, offset: int) -> None:
        """``block`` begins ``offset % PAGE_BYTES`` bytes into a page of memory."""
        assert self._opened
        self._opened.write(block, offset)

    def commit(self, computed: PartSum, buffer: memoryview) -> None:
        """The part is written: notes it, and hashes what waited for it. ``buffer`` is the worker's own."""
        self._staging.note_part(self.file, self._verification.commit(computed))
        self._verification.catch_up(computed.part.segment, self._read_back(buffer))
        self._unsynced_bytes += computed.part.length
        if self._unsynced_bytes >= _SYNC_BYTES and self._opened:
            self._unsynced_bytes = 0
            self._staging.sync(self.file, self._opened)

    def finish(self, buffer: memoryview) -> str:
        """Accepts the file once all parts are written; or discards it and returns what is wrong with it."""
        self._verification.catch_up_all(self._read_back(buffer))
        problem = self._verification.mismatch()
        if problem:
            self._staging.forget(self.file)
            self._verification = Verification(self.file.checksum, self._parts)
            return problem
        assert self._opened
        self._opened.sync()
        self.close()
        self._staging.accept(self.file, self._verification.crc64nvme())
        return ""

    def begin_again(self, problem: str) -> None:
        """Every part is missing, since the bytes were wrong."""
        self.problem = problem
        self._missing = list(reversed(self._parts))
        self.parts_left = len(self._parts)

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened:
            opened.close()

    def _read_back(self, buffer: memoryview) -> Callable[[Part, Callable[[memoryview], None]], None]:
        def read_back(part: Part, update: Callable[[memoryview], None]) -> None:
            assert self._opened
            offset = part.offset
            while offset < part.end:
                into_page = offset % PAGE_BYTES
                block = buffer[into_page : into_page + min(len(buffer) - into_page, part.end - offset)]
                self._opened.read(block, offset)
                update(block)
                offset += len(block)

        return read_back
