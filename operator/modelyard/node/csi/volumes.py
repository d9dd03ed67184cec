"""Publishing: a namespace's part of the cache appears in a pod, and goes away again."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from modelyard.node.cache.namespace_folders import Parts
from modelyard.node.csi.publish_request import Publication
from modelyard.node.host import mounts, syscalls, untrusted_files
from modelyard.node.host.cluster import Namespaces
from modelyard.node.host.targets import Target

# Models and compile caches are used from these mounts: libraries in the latter are executed, so noexec is not among it.
_ATTRIBUTES = syscalls.MOUNT_NO_SUID | syscalls.MOUNT_NO_DEVICES


class Volumes:
    """The volumes of this node's pods.

    ``prepare`` gets a namespace's part (name, UID) ready to mount; ``unpublished`` is called for each volume that went.
    """

    def __init__(
        self,
        parts: Parts,
        pods_folder: Path,
        namespaces: Namespaces,
        prepare: Callable[[str, str], None],
        unpublished: Callable[[mounts.Published], None],
    ) -> None:
        self._parts = parts
        self._pods_folder = pods_folder
        self._namespaces = namespaces
        self._prepare = prepare
        self._unpublished = unpublished
        self._lock = threading.Lock()

    def seen(self) -> mounts.Seen:
        """What pods have of the cache now."""
        return mounts.seen(mounts.current(), PurePosixPath(self._parts.cache), PurePosixPath(self._pods_folder))

    def publish(self, publication: Publication) -> None:
        """Shows the pod its namespace's part; nothing happens where it does already.

        Raises PathMissingError, NoNamespaceError, UnreachableError, and OSError: ELOOP or ENOTDIR for a target that is
        not made of plain folders, EBUSY where something else is mounted there.
        """
        uid = self._namespaces.uid(publication.namespace_name)
        target = publication.target
        with self._lock, untrusted_files.opened_folder(str(self._pods_folder)) as pods:
            self._prepare(publication.namespace_name, uid)
            with _opened(target.folder, pods) as folder, contextlib.suppress(FileExistsError):
                os.mkdir("mount", 0o750, dir_fd=folder)
            with self._parts.opened(uid) as part, _opened(target.path, pods) as point:
                if os.path.samestat(os.fstat(part), os.fstat(point)):
                    return
                if self._is_mounted(target):
                    raise OSError(errno.EBUSY, "something else is mounted there", target.path)
                read_only = syscalls.MOUNT_READ_ONLY if publication.is_read_only else 0
                syscalls.bind_mount(part, point, _ATTRIBUTES | read_only)

    def unpublish(self, target: Target) -> None:
        """Takes the volume away, whatever is left of it. Raises OSError."""
        with self._lock, untrusted_files.opened_folder(str(self._pods_folder)) as pods:
            shown = [] if self._parts.is_missing else list(self.seen().published)
            try:
                with _opened(target.folder, pods) as folder:
                    while self._is_mounted(target):
                        syscalls.unmount(f"/proc/self/fd/{folder}/mount")
                    with contextlib.suppress(FileNotFoundError):
                        os.rmdir("mount", dir_fd=folder)
            except FileNotFoundError:
                return
        for published in shown:
            if published.target == target:
                self._unpublished(published)

    def _is_mounted(self, target: Target) -> bool:
        point = PurePosixPath(self._pods_folder) / target.path
        return any(mount.point == point for mount in mounts.current())


@contextlib.contextmanager
def _opened(path: str, pods: int) -> Iterator[int]:
    descriptor = syscalls.open_beneath(pods, path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
