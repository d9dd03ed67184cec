"""Checks that entries still hold the bytes that were verified on arrival: bit rot would otherwise be served silently.

It reads one entry at a time, the least recently checked, from the disk past the page cache, slowly and with idle
priority.
"""

import errno
import json
import logging
import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from awscrt import checksums

from modelyard.contract.entry_record import FileRecord
from modelyard.node.cache import records
from modelyard.node.cache.budget import Item, Kind
from modelyard.node.cache.metrics import Metrics
from modelyard.node.cache.namespace_folders import Parts
from modelyard.node.cache.node_cache import NodeCache
from modelyard.node.host import syscalls, untrusted_files

BYTES_PER_SECOND = 64 << 20
"""A tenth of what a cloud's cheapest NVMe reads: a terabyte takes five hours."""
CHUNK_BYTES = 1 << 20
SCHEDULE = "checked.json"

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

_log = logging.getLogger("modelyard.node")


class Verdict(StrEnum):
    """What a check found. UNKNOWN: it could not be made, or was not ended."""

    OK = "ok"
    CORRUPT = "corrupt"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Checked:
    """The outcome for one entry."""

    verdict: Verdict
    size_bytes: int = 0
    words: str = ""


def key(item: Item) -> str:
    """By what an entry is known in the schedule."""
    return f"{item.namespace}/{item.name}"


def next_due(entries: list[Item], checked_s: Mapping[str, float], now_s: float, interval_s: float) -> Item | None:
    """The entry whose check is longest overdue. One that was never checked was verified when it came."""
    due = [(checked_s.get(key(item), item.last_used_s), key(item), item) for item in entries]
    due = [each for each in due if now_s - each[0] >= interval_s]
    return min(due, key=lambda each: each[:2])[2] if due else None


class ByteCheck:
    """Checks what is due. ``pause`` waits for some seconds and returns whether to end; ``now_s`` is the wall clock."""

    def __init__(
        self,
        *,
        parts: Parts,
        cache: NodeCache,
        metrics: Metrics,
        interval_s: float,
        pause: Callable[[float], bool],
        now_s: Callable[[], float],
    ) -> None:
        self._parts = parts
        self._cache = cache
        self._metrics = metrics
        self._interval_s = interval_s
        self._pause = pause
        self._now_s = now_s

    def run(self) -> None:
        """Checks entries until none is due. Raises PathMissingError, OSError."""
        path = self._parts.own_file(SCHEDULE)
        checked_s = _load(path.read_bytes() if path.exists() else b"{}")
        while True:
            entries = [
                item for holding in self._cache.overview().holdings for item in holding.items if item.kind is Kind.ENTRY
            ]
            present = {key(item) for item in entries}
            checked_s = {known: when_s for known, when_s in checked_s.items() if known in present}
            item = next_due(entries, checked_s, self._now_s(), self._interval_s)
            if item is None or self._pause(0):
                return
            self._check(item)
            checked_s[key(item)] = self._now_s()
            new = path.with_suffix(".new")
            new.write_text(json.dumps(checked_s))
            new.replace(path)

    def _check(self, item: Item) -> None:
        with (
            self._parts.opened(item.namespace) as part,
            untrusted_files.opened_folder("entries", part) as entries,
            untrusted_files.opened_folder(item.name, entries) as entry,
            syscalls.idle(),
        ):
            files = records.read(item.name, part)
            found = Checked(Verdict.UNKNOWN) if files is None else self._compare(entry, files)
            is_same = _is_same(entry, item.name, entries)
        self._metrics.checked(found.verdict, found.size_bytes)
        if found.verdict is Verdict.CORRUPT and is_same:
            _log.error("%s of namespace %s is corrupt: %s", item.name, item.namespace, found.words)
            self._cache.mark_corrupt(item.namespace, item.name)

    def _compare(self, entry: int, files: tuple[FileRecord, ...]) -> Checked:
        size_bytes = 0
        for file in files:
            try:
                crc = self._crc(entry, file)
            except (FileNotFoundError, NotADirectoryError):
                return Checked(Verdict.CORRUPT, size_bytes, f"{file.path!a} is missing")
            except OSError as error:
                if error.errno == errno.EIO:
                    return Checked(Verdict.CORRUPT, size_bytes, f"{file.path!a} cannot be read: {error}")
                return Checked(Verdict.UNKNOWN, size_bytes)
            if crc is None:
                return Checked(Verdict.UNKNOWN, size_bytes)
            size_bytes += file.size_bytes
            if f"{crc:016x}" != file.crc64nvme:
                return Checked(Verdict.CORRUPT, size_bytes, f"{file.path!a} has other bytes than were fetched")
        return Checked(Verdict.OK, size_bytes)

    def _crc(self, entry: int, file: FileRecord) -> int | None:
        """The file's checksum now, -1 if its size differs; None on a request to end."""
        descriptor = _opened(file.path, entry)
        try:
            if os.fstat(descriptor).st_size != file.size_bytes:
                return -1
            with mmap.mmap(-1, CHUNK_BYTES) as buffer, memoryview(buffer) as view:
                crc, offset = 0, 0
                while offset < file.size_bytes:
                    if self._pause(CHUNK_BYTES / BYTES_PER_SECOND):
                        return None
                    read = os.preadv(descriptor, [buffer], offset)
                    if read == 0:
                        return -1
                    with view[:read] as chunk:
                        crc = checksums.crc64nvme(chunk, crc)
                    offset += read
                return crc
        finally:
            os.close(descriptor)


def _opened(path: str, entry: int) -> int:
    """A descriptor of a regular file of the entry, past the page cache where the file system allows. Raises OSError."""
    try:
        descriptor = syscalls.open_beneath(entry, path, _READ | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        descriptor = syscalls.open_beneath(entry, path, _READ)
    if not untrusted_files.is_file(descriptor):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "no regular file", path)
    return descriptor


def _is_same(entry: int, name: str, entries: int) -> bool:
    """Whether the entry is still the one that was checked: a fetcher may have replaced it meanwhile."""
    now = untrusted_files.status(name, entries)
    return now is not None and os.path.samestat(now, os.fstat(entry))


def _load(text: bytes) -> dict[str, float]:
    try:
        return {str(known): float(when_s) for known, when_s in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        return {}
