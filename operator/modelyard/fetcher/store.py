"""The fetcher's hand on the cache: what is arriving, what is whole, and the one rename between the two.

Whatever happens at any moment (kill -9, a full disk, a power cut), an entry is there with all its bytes, or not there.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from modelyard.fetcher.manifest import RemoteFile
from modelyard.layout import FOLDER_MODE, CacheLayout


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes the folder's names durable: fsync of a file does not save its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.lstat().st_size == size_bytes
    except (FileNotFoundError, NotADirectoryError):
        return False


class Staging:
    """A model that is arriving. ``verified/`` has whole files only, so a restarted fetch goes on after the last one."""

    def __init__(self, folder: Path) -> None:
        self.verified = folder / "verified"
        self._arriving = folder / "arriving"
        shutil.rmtree(self._arriving, ignore_errors=True)
        _make_folder(self.verified)
        _make_folder(self._arriving)

    def holds(self, file: RemoteFile) -> bool:
        """Whether the file arrived, by name and size: it got its name after its bytes were verified and synced."""
        return _has_size(self.verified / file.path, file.size_bytes)

    def arriving(self, file: RemoteFile) -> Path:
        """Where to write the file's bytes: one flat name for each path."""
        return self._arriving / hashlib.sha256(str(file.path).encode()).hexdigest()

    def accept(self, file: RemoteFile, arrived: Path) -> None:
        """The bytes at ``arrived`` are verified and synced: they are the file now."""
        target = self.verified / file.path
        _make_folder(target.parent)
        arrived.rename(target)


class Store:
    """The cache volume as one pod's fetcher uses it. Methods raise OSError as the file system does."""

    def __init__(self, layout: CacheLayout) -> None:
        self._layout = layout
        for folder in (layout.entries, layout.staging, layout.by_pod):
            _make_folder(folder)

    def holds(self, digest: str, files: Iterable[RemoteFile]) -> bool:
        """Whether the model is here. An entry that lost a file or changed in size is none."""
        entry = self._layout.entry(digest)
        return entry.is_dir() and all(_has_size(entry / file.path, file.size_bytes) for file in files)

    def stage(self, digest: str) -> Staging:
        """The digest's staging folder; leftovers of other content are removed, so that they hold no space."""
        folder = self._layout.staging / self._layout.entry(digest).name
        for leftover in self._layout.staging.iterdir():
            if leftover != folder:
                shutil.rmtree(leftover)
        return Staging(folder)

    def free_bytes(self) -> int:
        """What this user may still write to the volume."""
        return shutil.disk_usage(self._layout.root).free

    def publish(self, digest: str, staging: Staging) -> None:
        """Makes the staged files the entry, at once and durably."""
        entry = self._layout.entry(digest)
        for folder, _, _ in os.walk(staging.verified):
            _sync_folder(Path(folder))
        if entry.exists():  # Store.holds found it broken
            entry.rename(self._layout.staging / f"broken-{entry.name}")
        staging.verified.rename(entry)
        _sync_folder(self._layout.entries)
        for leftover in self._layout.staging.iterdir():
            shutil.rmtree(leftover)

    def link(self, pod_uid: str, digest: str) -> None:
        """Points the pod's link at the entry; an older link of the same pod is replaced at once."""
        link = self._layout.link(pod_uid)
        new = link.with_name(f".{link.name}")
        new.unlink(missing_ok=True)
        new.symlink_to(self._layout.link_target(digest))
        new.replace(link)
        _sync_folder(self._layout.by_pod)
