"""The manifest.json that lists a model's files with their SHA-256. Pure.

A JSON object with the key `files`, a list of objects with `path` (relative to the manifest's own folder, with '/'),
`size` (bytes) and `sha256` (hexadecimal). Other keys are ignored.
"""

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modelyard.fetcher.content.remote_file import SIZE_LIMIT_BYTES, safe_path

NAME = "manifest.json"
LIMIT_BYTES = 4 * 1024 * 1024

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class ListedFile:
    """One file as the list has it."""

    path: PurePosixPath
    size_bytes: int
    sha256: str


def is_sha256(text: str) -> bool:
    """Whether it is a SHA-256 in hexadecimal."""
    return bool(_SHA256.fullmatch(text))


def read(document: bytes) -> tuple[ListedFile, ...]:
    """The list's files; never empty.

    Raises ValueError when the document is no such list, and FetchError(UNSAFE_KEY) for a path that leaves its folder.
    """
    try:
        files = tuple(_file(entry) for entry in json.loads(document)["files"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {str(error)[:100]}") from error
    if not files:
        raise ValueError("no files")
    return files


def _file(entry: dict[str, Any]) -> ListedFile:
    path, size_bytes, sha256 = entry["path"], entry["size"], entry["sha256"]
    if not isinstance(path, str) or type(size_bytes) is not int or not 0 <= size_bytes < SIZE_LIMIT_BYTES:
        raise TypeError("a file without path or size")
    if not is_sha256(sha256):
        raise ValueError(f"the sha256 of {path[:80]!r} is not 64 hexadecimal digits")
    return ListedFile(safe_path(path, ""), size_bytes, sha256.lower())
