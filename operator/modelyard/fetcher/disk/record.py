"""The records of entries (contract/entry_record.py): made of verified files, read, and held against the disk."""

import os
import stat
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from modelyard.contract.entry_record import EntryRecord, FileRecord, parse
from modelyard.fetcher.content.remote_file import RemoteFile

SIZE_LIMIT_BYTES = 64 * 1024 * 1024
"""Above that of the largest record: remote_file.FILES_LIMIT files with the longest paths, each letter escaped."""


def record_of(
    uri: str,
    digest: str,
    files: Iterable[RemoteFile],
    folder: Path,
    crc64nvme: Callable[[RemoteFile], str],
) -> EntryRecord:
    """The record of verified files that lie in ``folder``; ``crc64nvme`` gives each one's."""
    return EntryRecord(
        uri,
        datetime.now(UTC),
        digest,
        tuple(
            FileRecord(
                path=str(file.path),
                size_bytes=file.size_bytes,
                mtime_ns=(folder / file.path).lstat().st_mtime_ns,
                crc64nvme=crc64nvme(file),
                checksum=f"{file.checksum.algorithm}:{file.checksum.value}" if file.checksum else None,
            )
            for file in files
        ),
    )


def read(path: Path) -> EntryRecord | None:
    """The record at ``path``; None if it is missing or invalid."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = file.read(SIZE_LIMIT_BYTES + 1)
    try:
        return parse(text) if len(text) <= SIZE_LIMIT_BYTES else None
    except ValueError:
        return None


def agrees(record: EntryRecord, entry: Path, files: Iterable[RemoteFile]) -> bool:
    """Whether the entry's folder holds exactly these files as they were published, by size and time.

    No byte of them is read.
    """
    recorded = {file.path: file for file in record.files}
    wanted = {str(file.path): file for file in files}
    return recorded.keys() == wanted.keys() and all(
        recorded[path].size_bytes == file.size_bytes and _is_unchanged(entry / file.path, recorded[path])
        for path, file in wanted.items()
    )


def _is_unchanged(path: Path, recorded: FileRecord) -> bool:
    try:
        about = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    is_same = (about.st_size, about.st_mtime_ns) == (recorded.size_bytes, recorded.mtime_ns)
    return stat.S_ISREG(about.st_mode) and is_same
