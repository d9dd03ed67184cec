"""The cache's folder on the node: one part for each namespace, named by its UID, and a folder of the agent's own.

    <cache>/<namespace uid>/          what a volume of the namespace's pods shows (modelyard.contract.cache_layout)
    <cache>/.modelyard/namespaces/    a file per part that holds the namespace's name
    <cache>/.modelyard/trash/         what is being removed
    <cache>/.modelyard/sockets/       where sockets are made before they appear in a part

A tenant may run as root in its pods, so below a part everything may be replaced by anything, its folders included.
"""

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.contract.cache_layout import CacheLayout
from modelyard.contract.digests import UID
from modelyard.node.cache.overview import Disk
from modelyard.node.cache.quota import Quotas
from modelyard.node.host import untrusted_files

OWN_FOLDER = ".modelyard"
OPEN_TO_ALL = 0o1777
"""Every user of the namespace may write, and none may remove another's files."""

_NAME_LIMIT_BYTES = 256
FOLDERS = tuple(folder.name for folder in CacheLayout(Path("/")).folders)

_log = logging.getLogger("modelyard.node")


class PathMissingError(Exception):
    """The node does not have the folder that the cache is configured to be in."""


class Parts:
    """Opens, makes and removes parts. Methods raise PathMissingError if the cache's folder is not there, and OSError
    as the file system does.
    """

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._quotas = Quotas()

    @property
    def is_missing(self) -> bool:
        """Whether the node lacks the cache's folder. The agent never makes it: it would be on the wrong disk."""
        return not self.cache.is_dir()

    @contextmanager
    def opened(self, uid: str) -> Iterator[int]:
        """A descriptor of the namespace's part. Raises FileNotFoundError if it has none."""
        with self._opened_cache() as cache, untrusted_files.opened_folder(uid, cache) as part:
            yield part

    def names(self) -> dict[str, str]:
        """The namespaces that have a part: name by UID; "" where no name is known."""
        with self._opened_cache() as cache, self._own("namespaces") as known:
            found = [name for name in untrusted_files.folder_names(cache) if UID.fullmatch(name)]
            return {uid: _read_name(uid, known) for uid in sorted(found)}

    def disk(self) -> Disk:
        """How large the cache's file system is, and what is left of it."""
        with self._opened_cache() as cache:
            found = os.fstatvfs(cache)
            return Disk(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def make(self, uid: str, name: str) -> None:
        """Makes the namespace's part, or what it lacks."""
        if not UID.fullmatch(uid):
            raise ValueError(f"{uid!r} is no UID")
        with self._own("namespaces") as known:
            _write_name(uid, name, known)
        with self._opened_cache() as cache, self.trash() as trash:
            self._make_open_to_all(uid, uid, cache, trash)
            with untrusted_files.opened_folder(uid, cache) as part:
                for folder in FOLDERS:
                    self._make_open_to_all(uid, folder, part, trash)

    def remove(self, uid: str) -> None:
        """Moves the namespace's part to the trash, and forgets its name."""
        with self._opened_cache() as cache, self.trash() as trash, self._own("namespaces") as known:
            untrusted_files.discard(uid, cache, trash)
            self._quotas.limit(uid, 0, cache)
            os.unlink(uid, dir_fd=known)
        with self._own("sockets") as sockets, contextlib.suppress(FileNotFoundError):
            os.rmdir(uid, dir_fd=sockets)

    def limit(self, uid: str, size_bytes: int) -> None:
        """Lets the namespace's part grow to this size and no further, where the file system can: see quota."""
        with self._opened_cache() as cache:
            self._quotas.limit(uid, size_bytes, cache)

    @contextmanager
    def trash(self) -> Iterator[int]:
        """A descriptor of the folder for content that is no longer needed."""
        with self._own("trash") as trash:
            yield trash

    @contextmanager
    def sockets(self, uid: str) -> Iterator[int]:
        """A descriptor of the folder in which the namespace's socket is made, so that it appears by a rename.

        A file moves only to folders of its own project.
        """
        with self._own("sockets") as sockets:
            _make_private(uid, sockets)
            with untrusted_files.opened_folder(uid, sockets) as folder:
                self._quotas.adopt(uid, folder)
                yield folder

    def own_file(self, name: str) -> Path:
        """Where the agent keeps something of its own. Raises PathMissingError."""
        with self._own(""):
            return self.cache / OWN_FOLDER / name

    def _make_open_to_all(self, uid: str, name: str, parent: int, trash: int) -> None:
        """Makes sure that ``name`` is a folder that all may write to; whatever else it is goes to the trash."""
        found = untrusted_files.status(name, parent)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            _log.warning("removed %a, which is not a folder", name)
            untrusted_files.discard(name, parent, trash)
            found = None
        if found is None:
            os.mkdir(name, 0o700, dir_fd=parent)
        with untrusted_files.opened_folder(name, parent) as folder:
            os.fchown(folder, 0, 0)
            os.fchmod(folder, OPEN_TO_ALL)
            self._quotas.adopt(uid, folder)

    @contextmanager
    def _own(self, name: str) -> Iterator[int]:
        with self._opened_cache() as cache:
            _make_private(OWN_FOLDER, cache)
            with untrusted_files.opened_folder(OWN_FOLDER, cache) as own:
                if not name:
                    yield own
                    return
                _make_private(name, own)
                with untrusted_files.opened_folder(name, own) as folder:
                    yield folder

    @contextmanager
    def _opened_cache(self) -> Iterator[int]:
        if self.is_missing:
            raise PathMissingError(
                f"this node has no folder {self.cache} for the node cache: mount the node's disk there, create the "
                "folder, or keep pods that use the cache off this node (docs/node-cache.md)"
            )
        with untrusted_files.opened_folder(str(self.cache)) as cache:
            yield cache


def _make_private(name: str, parent: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return


def _read_name(uid: str, known: int) -> str:
    try:
        return untrusted_files.read_file(uid, known, _NAME_LIMIT_BYTES).decode()
    except FileNotFoundError:
        return ""


def _write_name(uid: str, name: str, known: int) -> None:
    if untrusted_files.status(uid, known) is not None and _read_name(uid, known) == name:
        return
    new = f".{uid}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=known)
    with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(name)
        file.flush()
        os.fsync(descriptor)
    os.rename(new, uid, src_dir_fd=known, dst_dir_fd=known)
