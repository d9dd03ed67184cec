"""The fetcher's hand on the cache: what is arriving, what is whole, and the one rename between the two.

Whatever happens at any moment (kill -9, a full disk, a power cut), an entry is there with all its bytes, or not there.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from modelyard.fetcher.manifest import RemoteFile
from modelyard.fetcher.staging import Staging, has_size, make_folder
from modelyard.layout import CacheLayout


def _sync_folder(folder: Path) -> None:
    """Makes the folder's names durable: fsync of a file does not save its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Store:
    """The cache volume as one pod's fetcher uses it. Methods raise OSError as the file system does."""

    def __init__(self, layout: CacheLayout) -> None:
        self._layout = layout
        for folder in (layout.entries, layout.staging, layout.by_pod):
            make_folder(folder)

    def holds(self, digest: str, files: Iterable[RemoteFile]) -> bool:
        """Whether the model is here. An entry that lost a file or changed in size is none."""
        entry = self._layout.entry(digest)
        return entry.is_dir() and all(has_size(entry / file.path, file.size_bytes) for file in files)

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
        for folder, _, _ in os.walk(staging.model):
            _sync_folder(Path(folder))
        if entry.exists():  # Store.holds found it broken
            entry.rename(self._layout.staging / f"broken-{entry.name}")
        staging.model.rename(entry)
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
