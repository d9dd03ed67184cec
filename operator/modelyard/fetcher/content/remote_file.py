"""A model's content as data: its files, the manifest that may list them, and the digest that names it. Pure.

A manifest.json is a JSON object with the key `files`, a list of objects with `path` (relative to the manifest's own
folder, with '/'), `size` (bytes) and `sha256` (hexadecimal). Other keys are ignored.

The digest is `sha256:` and the SHA-256 of one line per file, sorted by path: the JSON array
`[path, size in bytes, checksum's algorithm, checksum's value]`, with the list of the parts' sizes as a fifth element
where the checksum is a composite one; UTF-8, each ended by a line feed. It changes when a file's bytes, name or way of
upload change. Equal content that was uploaded with another checksum or other parts has another digest: it is fetched
again, never confused.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modelyard.contract.characters import refused_character
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.checksums import Checksum
from modelyard.fetcher.failure import FetchError

FILES_LIMIT = 10_000
"""A model with more files than this is a wrong URI: the listing is held in memory."""

SIZE_LIMIT_BYTES = 10**18
"""No store has a file of an exabyte: such a size is a wrong answer, and no disk's lack of space."""

_COMPONENT_LIMIT_BYTES = 255

_PATH_LIMIT_BYTES = 3072
"""Below Linux's 4096, which counts the cache's own path too."""

MANIFEST_NAME = "manifest.json"
MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a model at its source.

    ``path`` is where it goes, relative to the model's folder; ``key`` and ``version`` are how the source finds exactly
    these bytes; without a ``checksum`` the source stores none, and only the size can be checked.
    """

    path: PurePosixPath
    size_bytes: int
    key: str
    version: str
    checksum: Checksum | None


def safe_path(key: str, below: str) -> PurePosixPath:
    """The key without its leading ``below``, as a path that stays in the model's folder.

    Raises FetchError(UNSAFE_KEY) for a key that would leave it, or that no file system takes.
    """
    relative = key.removeprefix(below)
    parts = relative.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise _unsafe(key, "its path has an empty segment, '.' or '..'")
    if refused := refused_character(relative):
        raise _unsafe(key, f"it contains {refused}, a control or bidirectional formatting character")
    too_long = len(relative.encode()) > _PATH_LIMIT_BYTES
    if too_long or any(len(part.encode()) > _COMPONENT_LIMIT_BYTES for part in parts):
        raise _unsafe(key, "it is longer than a file system allows")
    return PurePosixPath(relative)


def check_paths(paths: Iterable[PurePosixPath]) -> None:
    """Raises FetchError when the paths cannot stand in one folder: too many, one twice, or one a file and a folder."""
    listed = list(paths)
    files = set(listed)
    if len(listed) > FILES_LIMIT:
        raise too_many_files()
    for path, count in Counter(listed).items():
        if count > 1:
            raise _unsafe(str(path), "it is listed twice")
    for path in files:
        for parent in path.parents:
            if parent in files:
                raise _unsafe(str(path), f"{parent} is also a file, so it cannot be a folder")


def too_many_files() -> FetchError:
    """What to raise for more than FILES_LIMIT files."""
    return FetchError(
        Reason.TOO_MANY_FILES,
        f"the source has more than {FILES_LIMIT} files: spec.model.uri must be the folder of one model",
    )


def _unsafe(key: str, problem: str) -> FetchError:
    return FetchError(
        Reason.UNSAFE_KEY,
        f"the object {key!r} cannot become a file: {problem}. Rename or remove it at the source",
    )


def content_digest(files: Iterable[RemoteFile]) -> str:
    """The digest of a model's content, ``sha256:<hex>`` (see the module's text)."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: str(file.path)):
        parts: list[object] = [str(file.path), file.size_bytes, "size", ""]
        if file.checksum:
            parts[2:] = [file.checksum.algorithm, file.checksum.value]
            if file.checksum.part_sizes:
                parts.append(file.checksum.part_sizes)
        digest.update(json.dumps(parts, ensure_ascii=False).encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class ListedFile:
    """One file as a manifest lists it."""

    path: PurePosixPath
    size_bytes: int
    sha256: str


def is_sha256(text: str) -> bool:
    """Whether it is a SHA-256 in hexadecimal."""
    return bool(_SHA256.fullmatch(text))


def read_manifest(document: bytes) -> tuple[ListedFile, ...]:
    """The manifest's files; never empty.

    Raises ValueError when the document is no manifest, and FetchError(UNSAFE_KEY) for a path that leaves its folder.
    """
    try:
        files = tuple(_listed_file(entry) for entry in json.loads(document)["files"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {str(error)[:100]}") from error
    if not files:
        raise ValueError("no files")
    return files


def _listed_file(entry: dict[str, Any]) -> ListedFile:
    path, size_bytes, sha256 = entry["path"], entry["size"], entry["sha256"]
    if not isinstance(path, str) or type(size_bytes) is not int or not 0 <= size_bytes < SIZE_LIMIT_BYTES:
        raise TypeError("a file without path or size")
    if not is_sha256(sha256):
        raise ValueError(f"the sha256 of {path[:80]!r} is not 64 hexadecimal digits")
    return ListedFile(safe_path(path, ""), size_bytes, sha256.lower())
