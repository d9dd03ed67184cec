"""The fetcher's access to the cache: whole entries, staging folders, and the one rename from one to the other.

Whatever happens at any moment (kill -9, a full disk, a power cut), an entry is there with all its bytes, or not at all.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from modelyard.contract.cache_layout import BROKEN_PREFIX, CacheLayout
from modelyard.contract.entry_record import EntryRecord, FileRecord, parse
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.disk import lock
from modelyard.fetcher.disk.staging import Staging, make_folder
from modelyard.fetcher.failure import FetchError

_COMPILE_CACHE_MODE = 0o777
"""The engine may run as another user than the fetcher, and writes there."""

Discard = Callable[[str], None]
"""Has the node agent remove an entry that another user's pod wrote. Raises FetchError if that is not possible."""

_RECORD_LIMIT_BYTES = 64 * 1024 * 1024
"""Above that of the largest record: remote_file.FILES_LIMIT files with the longest paths, each letter escaped."""


def _sync_folder(folder: Path) -> None:
    """Makes the folder's names durable: fsync of a file does not save its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_own_folder(path: Path) -> bool:
    """Whether it is a folder of this process's user. A missing one is."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()


class Store:
    """The cache as one pod's fetcher uses it. Methods raise OSError as the file system does."""

    def __init__(self, layout: CacheLayout, discard: Discard) -> None:
        self._layout = layout
        self._discard = discard

    def make_folders(self) -> None:
        """Where no node agent has made them."""
        for folder in self._layout.folders:
            make_folder(folder)

    def holds(self, digest: str, files: Iterable[RemoteFile]) -> bool:
        """Whether the whole model is here as it was verified, judged without reading a byte of it."""
        entry = self._layout.entry(digest)
        if entry.is_symlink() or not entry.is_dir() or os.path.lexists(self._layout.corrupt(digest)):
            return False
        record = _read_record(self._layout.record(digest))
        return record is not None and record.digest == digest and _agrees(record, entry, files)

    def lock(self, digest: str) -> Path:
        """The file that the entry's writer locks."""
        return self._layout.lock(digest)

    def staging_folder(self, digest: str) -> Path:
        """Where the digest arrives. What another user's pod left there cannot be gone on with."""
        first = self._layout.staged(digest)
        return first if _is_own_folder(first) else self._layout.staged_by(digest, os.geteuid())

    def staging_folders(self, digest: str) -> list[Path]:
        """Where the digest may arrive, by any user."""
        first = self._layout.staged(digest)
        return [first, *first.parent.glob(f"{first.name}.*")]

    def free_bytes(self) -> int:
        """What this user may still write to the volume."""
        return shutil.disk_usage(self._layout.root).free

    def publish(self, digest: str, staging: Staging, written: EntryRecord) -> None:
        """Makes the staged files the entry, at once and durably. The caller holds the digest's lock.

        Raises FetchError when what stands in the way is another user's and stays.
        """
        for folder, _, _ in os.walk(staging.model):
            _sync_folder(Path(folder))
        self._clear_the_way(digest)
        self._write_record(digest, written)
        entry = self._layout.entry(digest)
        os.utime(staging.model)  # an entry's modification time is its last use
        staging.model.rename(entry)
        _sync_folder(self._layout.entries)
        _sync_folder(entry)
        self._remove_staged(digest)

    def tidy_up(self, digest: str) -> None:
        """Removes what a fetch of this entry left that was killed right after it had published it."""
        if any(map(os.path.lexists, self.staging_folders(digest))):
            with lock.locked_if_free(self.lock(digest)) as is_nobodys:
                if is_nobodys:
                    self._remove_staged(digest)

    def _remove_staged(self, digest: str) -> None:
        for folder in self.staging_folders(digest):
            if _is_own_folder(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _clear_the_way(self, digest: str) -> None:
        """Puts aside an entry that ``holds`` found broken; engines that have it mounted keep it."""
        entry, marker, old = self._layout.entry(digest), self._layout.corrupt(digest), self._layout.record(digest)
        try:
            marker.unlink(missing_ok=True)
            if os.path.lexists(entry):
                entry.rename(self._layout.staging / f"{BROKEN_PREFIX}{entry.name}-{secrets.token_hex(4)}")
            old.unlink(missing_ok=True)
        except PermissionError:
            self._discard(digest)
        if any(os.path.lexists(path) for path in (entry, old, marker)):
            raise FetchError(
                Reason.CACHE_NOT_WRITABLE,
                f"the corrupt entry {entry.name} of another user's pod cannot be replaced: delete the pods that use "
                "it, or remove it from the node's cache",
            )

    def _write_record(self, digest: str, written: EntryRecord) -> None:
        path = self._layout.record(digest)
        new = path.with_name(f".{path.name}.{os.geteuid()}")
        with new.open("w") as file:
            file.write(written.as_json())
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        _sync_folder(path.parent)

    def link(self, pod_uid: str, digest: str) -> None:
        """Points the pod's link at the entry; an older link of the same pod is replaced at once."""
        link = self._layout.link(pod_uid)
        new = link.with_name(f".{link.name}")
        new.unlink(missing_ok=True)
        new.symlink_to(self._layout.link_target(digest))
        new.replace(link)
        _sync_folder(self._layout.by_pod)

    def make_compile_cache(self, key: str) -> None:
        """The folder that the engine's container mounts; else the kubelet makes it, for root alone."""
        folder = self._layout.compile_cache(key)
        make_folder(folder)
        if _is_own_folder(folder):
            folder.chmod(_COMPILE_CACHE_MODE)
        os.utime(folder)  # it is about to be used

    def collect_leftovers(self, digest: str) -> None:
        """Removes what fetches of other content than ``digest`` left, in a cache that no node agent keeps tidy."""
        own = self.staging_folders(digest)
        for leftover in self._layout.staging.iterdir():
            if leftover.name.startswith(BROKEN_PREFIX):
                shutil.rmtree(leftover)
            elif leftover not in own:
                with lock.locked_if_free(self._layout.locks / leftover.name.partition(".")[0]) as is_nobodys:
                    if is_nobodys:
                        shutil.rmtree(leftover)


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


def _read_record(path: Path) -> EntryRecord | None:
    """The record at ``path``; None if it is missing or invalid."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = file.read(_RECORD_LIMIT_BYTES + 1)
    try:
        return parse(text) if len(text) <= _RECORD_LIMIT_BYTES else None
    except ValueError:
        return None


def _agrees(record: EntryRecord, entry: Path, files: Iterable[RemoteFile]) -> bool:
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
