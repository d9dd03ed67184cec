"""What was verified of an entry's files, beside the entry: layout.CacheLayout.record.

One JSON object: `{"uri", "fetched_at" (RFC 3339), "digest", "files": [{"path", "size" (bytes), "mtime_ns", "crc64nvme"
(16 hexadecimal digits), "checksum" ("<algorithm>:<value>" as the source stores it, or null)}]}`. The CRC is computed
over the bytes as they arrived, so that the bytes on the disk can be checked again whatever the source stores.

A namespace's pods write records: another user's may hold anything, so whoever reads one believes no path in it.
"""

import json
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.fetcher.content.remote_file import RemoteFile

SIZE_LIMIT_BYTES = 64 * 1024 * 1024
"""Above that of the largest record: manifest.FILES_LIMIT files with the longest paths, each letter escaped."""


@dataclass(frozen=True)
class FileRecord:
    """One file as it was published: the times are those of the file system that it lies on."""

    path: str
    size_bytes: int
    mtime_ns: int
    crc64nvme: str
    checksum: str | None


@dataclass(frozen=True)
class Record:
    """One entry: where it came from, when, and each of its files."""

    uri: str
    fetched_at: datetime
    digest: str
    files: tuple[FileRecord, ...]

    def as_json(self) -> str:
        files = [
            {
                "path": file.path,
                "size": file.size_bytes,
                "mtime_ns": file.mtime_ns,
                "crc64nvme": file.crc64nvme,
                "checksum": file.checksum,
            }
            for file in self.files
        ]
        when = self.fetched_at.astimezone(UTC).isoformat(timespec="seconds")
        return json.dumps({"uri": self.uri, "fetched_at": when, "digest": self.digest, "files": files})

    def agrees_with(self, entry: Path, files: Iterable[RemoteFile]) -> bool:
        """Whether the entry's folder holds exactly these files as they were published, by size and time.

        No byte of them is read.
        """
        recorded = {file.path: file for file in self.files}
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


def record_of(
    uri: str,
    digest: str,
    files: Iterable[RemoteFile],
    folder: Path,
    crc64nvme: Callable[[RemoteFile], str],
) -> Record:
    """The record of verified files that lie in ``folder``; ``crc64nvme`` gives each one's."""
    return Record(
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


def read(path: Path) -> Record | None:
    """The record at ``path``; None where there is none, or what is there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = file.read(SIZE_LIMIT_BYTES + 1)
    try:
        return _parsed(json.loads(text)) if len(text) <= SIZE_LIMIT_BYTES else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _parsed(told: dict[str, Any]) -> Record:
    """Raises ValueError, KeyError or TypeError for what is no record."""
    files = tuple(
        FileRecord(file["path"], file["size"], file["mtime_ns"], file["crc64nvme"], file["checksum"])
        for file in told["files"]
    )
    return Record(told["uri"], datetime.fromisoformat(told["fetched_at"]), told["digest"], files)
