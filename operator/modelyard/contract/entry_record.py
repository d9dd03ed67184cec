"""What was verified of an entry's files, beside the entry (cache_layout.CacheLayout.record).

The fetcher writes it when it publishes a model; later fetchers and the node agent read it.

One JSON object: `{"uri", "fetched_at" (RFC 3339), "digest", "files": [{"path", "size" (bytes), "mtime_ns", "crc64nvme"
(16 hexadecimal digits), "checksum" ("<algorithm>:<value>" as the source stores it, or null)}]}`. The CRC is computed
over the bytes as they arrived, so that the bytes on the disk can be checked again whatever the source stores.

A namespace's pods write records: another user's may hold anything, so no reader trusts a path in it.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from modelyard.contract.digests import DIGEST

_CRC = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file as it was published, by its path below the entry; the time is that of the file system that it is on."""

    path: str
    size_bytes: int
    mtime_ns: int
    crc64nvme: str
    checksum: str | None = None


@dataclass(frozen=True)
class EntryRecord:
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


def parse(text: bytes) -> EntryRecord:
    """The record in ``text``. Raises ValueError for anything that no fetcher writes."""
    try:
        fields = json.loads(text)
        return EntryRecord(
            uri=_text(fields["uri"]),
            fetched_at=datetime.fromisoformat(fields["fetched_at"]),
            digest=_text(fields["digest"], DIGEST),
            files=tuple(
                FileRecord(
                    path=_path(file["path"]),
                    size_bytes=_count(file["size"]),
                    mtime_ns=_count(file["mtime_ns"]),
                    crc64nvme=_text(file["crc64nvme"], _CRC),
                    checksum=None if file["checksum"] is None else _text(file["checksum"]),
                )
                for file in fields["files"]
            ),
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no record") from error


def _text(value: object, form: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or (form and not form.fullmatch(value)):
        raise ValueError("no text of the form")
    return value


def _path(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("no path")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no number")
    return value
