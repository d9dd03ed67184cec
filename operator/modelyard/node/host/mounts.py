"""Reads from the kernel what is mounted now: no state to keep, so none to lose in a restart."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.node.host.targets import RefusedError, Target, target_of

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo: the folder ``root`` of the file system ``device`` is seen at ``point``."""

    device: str
    root: PurePosixPath
    point: PurePosixPath


@dataclass(frozen=True)
class Published:
    """A volume that a pod has: its target, and the namespace (UID) whose part of the cache it shows."""

    target: Target
    namespace_uid: str


@dataclass(frozen=True)
class Seen:
    """The mounts at one moment. ``used`` are the folders of the cache that containers see by a subPath, as
    ``<namespace uid>/entries/<digest>``: the kernel shows a folder's present name, also after a rename.
    """

    published: tuple[Published, ...] = ()
    used: frozenset[PurePosixPath] = frozenset()

    def pods_of(self, namespace_uid: str) -> frozenset[str]:
        """The pods (UIDs) that have a volume of the namespace."""
        return frozenset(each.target.pod_uid for each in self.published if each.namespace_uid == namespace_uid)

    def is_used(self, folder: PurePosixPath) -> bool:
        """Whether a container sees the folder, or one below it."""
        return any(each.is_relative_to(folder) for each in self.used)


def current() -> list[Mount]:
    """The mounts that this process sees: below a folder that is mounted with propagation, those of the host."""
    return parse(os.fsdecode(Path("/proc/self/mountinfo").read_bytes()))


def parse(mountinfo: str) -> list[Mount]:
    """The mounts (proc(5), mountinfo); the folder of one that was removed loses the kernel's `//deleted`."""
    fields = (line.split(" ") for line in mountinfo.splitlines())
    return [
        Mount(parts[2], PurePosixPath(_plain(parts[3]).removesuffix("//deleted")), PurePosixPath(_plain(parts[4])))
        for parts in fields
    ]


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def location(path: PurePosixPath, mounts: Iterable[Mount]) -> tuple[str, PurePosixPath]:
    """On which device a path lies, and under which name there: of mounts on one another the last is seen."""
    holding = [mount for mount in mounts if path.is_relative_to(mount.point)]
    _, mount = max(enumerate(holding), key=lambda numbered: (len(numbered[1].point.parts), numbered[0]))
    return mount.device, mount.root / path.relative_to(mount.point)


def seen(mounts: Sequence[Mount], cache: PurePosixPath, pods_folder: PurePosixPath) -> Seen:
    """What the kubelet's pods have of the cache."""
    device, root = location(cache, mounts)
    of_pods = [
        mount
        for mount in mounts
        if mount.device == device and mount.root.is_relative_to(root) and mount.point.is_relative_to(pods_folder)
    ]
    published = []
    used = set()
    for mount in of_pods:
        folder = mount.root.relative_to(root)
        if len(folder.parts) > 1:
            used.add(folder)
        elif len(folder.parts) == 1 and (target := _target(mount.point, pods_folder)):
            published.append(Published(target, folder.name))
    return Seen(tuple(published), frozenset(used))


def _target(point: PurePosixPath, pods_folder: PurePosixPath) -> Target | None:
    try:
        return target_of(str(point), pods_folder)
    except RefusedError:
        return None
