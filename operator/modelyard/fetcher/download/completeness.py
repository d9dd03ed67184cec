"""Checks a model against its own index and manifest.json.

An aborted upload leaves a folder that lists well, and each file in it has a right checksum. But the index of a sharded
model in safetensors names every shard (`weight_map` of `*.safetensors.index.json`), and a `manifest.json`
(content/remote_file.py) holds the SHA-256 of every file: these then replace the store's checksums.
"""

import json
import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import PurePosixPath

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.checksums import Checksum
from modelyard.fetcher.content.remote_file import (
    MANIFEST_LIMIT_BYTES,
    MANIFEST_NAME,
    ListedFile,
    RemoteFile,
    read_manifest,
)
from modelyard.fetcher.download.retrying_reader import RetryingReader
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.source import Source
from modelyard.fetcher.transport.slowness import Pace

_INDEX = ".safetensors.index.json"
_INDEX_LIMIT_BYTES = 64 * 1024 * 1024

Files = tuple[RemoteFile, ...]


def held_to_own_word(source: Source, files: Files) -> Files:
    """The files, with the SHA-256 that the model's manifest has of them.

    Raises FetchError: MODEL_INCOMPLETE when a file is missing that the model names, CHECKSUM_MISMATCH when a file's
    size differs from the manifest's, and what reading from the source raises.
    """
    by_path = {file.path: file for file in files}
    for file in files:
        if file.path.name.endswith(_INDEX) and file.size_bytes <= _INDEX_LIMIT_BYTES:
            _check_shards(file, _document(source, file), by_path.keys())
    own_list = by_path.get(PurePosixPath(MANIFEST_NAME))
    if own_list is None or own_list.size_bytes > MANIFEST_LIMIT_BYTES:
        return files
    try:
        listed = read_manifest(_document(source, own_list))
    except ValueError:
        return files  # some other program's file of that name
    if missing := sorted(str(each.path) for each in listed if each.path not in by_path):
        raise _incomplete(own_list, missing, len(listed))
    sha256 = {each.path: _checked(each, by_path[each.path], own_list) for each in listed if each.path != own_list.path}
    return tuple(replace(file, checksum=sha256.get(file.path, file.checksum)) for file in files)


def _check_shards(index: RemoteFile, document: bytes, present: Collection[PurePosixPath]) -> None:
    """Ignores an index that cannot be read: the engine reports what it lacks."""
    try:
        names = {str(name) for name in json.loads(document)["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    missing = sorted(name for name in names if index.path.parent / name not in present)
    if missing:
        raise _incomplete(index, missing, len(names))


def _checked(listed: ListedFile, file: RemoteFile, own_list: RemoteFile) -> Checksum:
    if file.size_bytes != listed.size_bytes:
        raise FetchError(
            Reason.CHECKSUM_MISMATCH,
            f"{file.key} has {file.size_bytes} bytes, but {listed.size_bytes} in {own_list.key}: upload the file "
            "again, or correct that list",
        )
    return Checksum.sha256(listed.sha256)


def _incomplete(index: RemoteFile, missing: list[str], of: int) -> FetchError:
    more = f" and {len(missing) - 1} more of {of} files" if len(missing) > 1 else ""
    return FetchError(
        Reason.MODEL_INCOMPLETE,
        f"{index.key} refers to {missing[0]}{more}, which the source does not have: upload what is missing, or "
        f"correct {index.path.name}",
    )


def _document(source: Source, file: RemoteFile) -> bytes:
    """A small file, whole. Raises FetchError."""
    document = bytearray(file.size_bytes)
    reader = RetryingReader(source, file, 0, len(document), abandoned=threading.Event(), pace=Pace())
    try:
        with memoryview(document) as whole:
            done = 0
            while done < len(whole):
                done += reader.fill(whole[done:])
    finally:
        reader.close()
    return bytes(document)
