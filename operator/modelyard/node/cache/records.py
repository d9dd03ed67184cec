"""What a fetcher wrote down of an entry's files, read as its namespace's word: it may be anything."""

import json
import re
from dataclasses import dataclass

from modelyard.contract.cache_layout import RECORD_SUFFIX
from modelyard.node.host import untrusted_files

SIZE_LIMIT_BYTES = 2 << 20
"""Ten thousand files. As objects a record takes up to forty times its size, of this process's memory."""

_CRC = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class RecordedFile:
    """One file, by its path below the entry, with the CRC-64/NVME of its bytes."""

    path: str
    size_bytes: int
    crc64nvme: int


def read(folder: str, part: int) -> list[RecordedFile] | None:
    """The files of the entry ``folder``; None where there is no record that can be used."""
    try:
        with untrusted_files.opened_folder("records", part) as records:
            return parsed(untrusted_files.read_file(f"{folder}{RECORD_SUFFIX}", records, SIZE_LIMIT_BYTES))
    except (OSError, ValueError):
        return None


def parsed(text: bytes) -> list[RecordedFile]:
    """The files that a record names. Raises ValueError for anything that is no record."""
    try:
        files = json.loads(text)["files"]
        return [_file(each["path"], each["size"], each["crc64nvme"]) for each in files]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no record") from error


def _file(path: object, size_bytes: object, crc: object) -> RecordedFile:
    if not isinstance(path, str) or not isinstance(size_bytes, int) or not isinstance(crc, str):
        raise TypeError("a value of another type")
    if not path or "\0" in path or size_bytes < 0 or not _CRC.fullmatch(crc):
        raise ValueError("a value that no fetcher writes")
    return RecordedFile(path, size_bytes, int(crc, 16))
