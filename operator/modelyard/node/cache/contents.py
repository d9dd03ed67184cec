"""What a namespace's part of the cache holds. Tenants wrote it: every name and size is read as theirs (see trees)."""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelyard.contract.cache_layout import BROKEN_PREFIX, COMPILE_KEY, FOLDER_NAME
from modelyard.node.cache.budget import Item, Kind
from modelyard.node.cache.namespace_folders import FOLDERS
from modelyard.node.host import untrusted_files
from modelyard.node.host.mounts import Seen

_STAGING_OF_DIGEST = re.compile(rf"(?:{BROKEN_PREFIX})?({FOLDER_NAME.pattern})(?:[.-][0-9a-f]{{1,10}})?")
_LINK = re.compile(rf"\.\./entries/({FOLDER_NAME.pattern})")
_FORMS = {Kind.ENTRY: FOLDER_NAME, Kind.COMPILE_CACHE: COMPILE_KEY, Kind.STAGING: _STAGING_OF_DIGEST}

AGE_OF_SIZE_S = {Kind.ENTRY: 600.0, Kind.COMPILE_CACHE: 60.0, Kind.STAGING: 0.0}
"""How long a size is believed of a folder that looks unchanged from above."""

COMPILE_CACHE_GRACE_S = 900.0
"""A pod just created a compile cache, or opened it to all again; its engine needs it once its image is pulled."""


@dataclass(frozen=True)
class Contents:
    """A scan of one part. ``used_bytes`` is all of it.

    ``is_whole``: the scan completed; no fetcher makes a part that cannot be measured.
    """

    items: tuple[Item, ...]
    used_bytes: int
    is_whole: bool

    def staged_bytes(self) -> dict[str, int]:
        """What has arrived of models that are not whole yet, by the digest's folder name."""
        return _by_digest(item for item in self.items if item.kind is Kind.STAGING and not is_broken(item.name))

    def whole_bytes(self) -> dict[str, int]:
        """How large the entries are, by the digest's folder name."""
        return _by_digest(item for item in self.items if item.kind is Kind.ENTRY)

    def replaced_bytes(self) -> dict[str, int]:
        """How large the entries are that were replaced and may be in use still: one for each digest's folder name."""
        return {digest_of_staging(item.name): item.size_bytes for item in self.items if is_broken(item.name)}


@dataclass(frozen=True)
class _Measured:
    inode: int
    changed_ns: int
    at_s: float
    size: untrusted_files.Size


class Measurements:
    """Sizes that need not be measured again yet. ``now_s`` is the wall clock."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.now_s = now_s
        self._known: dict[tuple[str, Kind, str], _Measured] = {}

    def of(self, namespace: str, kind: Kind, name: str, parent: int, found: os.stat_result) -> untrusted_files.Size:
        """The size of a folder in the part."""
        key = (namespace, kind, name)
        known = self._known.get(key)
        if (
            known
            and (known.inode, known.changed_ns) == (found.st_ino, found.st_ctime_ns)
            and 0 <= self.now_s() - known.at_s < AGE_OF_SIZE_S[kind]
        ):
            return known.size
        size = untrusted_files.measure(name, parent)
        self._known[key] = _Measured(found.st_ino, found.st_ctime_ns, self.now_s(), size)
        return size

    def keep_only(self, namespace: str, items: tuple[Item, ...]) -> None:
        """Forgets what the namespace no longer has."""
        present = {(namespace, item.kind, item.name) for item in items}
        self._known = {key: known for key, known in self._known.items() if key[0] != namespace or key in present}


def links(part: int, pods: frozenset[str]) -> dict[str, list[str]]:
    """The pods that link an entry, by the entry's folder name. Links of pods without a volume pin nothing."""
    found: dict[str, list[str]] = {}
    with contextlib.suppress(OSError), untrusted_files.opened_folder("by-pod", part) as by_pod:
        for pod in pods:
            target = _LINK.fullmatch(untrusted_files.read_link(pod, by_pod) or "")
            if target:
                found.setdefault(target[1], []).append(pod)
    return found


def is_locked(name: str, part: int) -> bool:
    """Whether a fetcher holds the lock of this digest (its folder's name)."""
    try:
        with untrusted_files.opened_folder("locks", part) as locks:
            descriptor = untrusted_files.open_file(name, locks)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_broken(name: str) -> bool:
    """Whether a name in the staging folder is that of an entry that was put aside."""
    return name.startswith(BROKEN_PREFIX)


def digest_of_staging(name: str) -> str:
    """The folder name of the digest that a staging folder is for, without any suffix."""
    match = _STAGING_OF_DIGEST.fullmatch(name)
    return match[1] if match else name


def is_digest(name: str) -> bool:
    """Whether a name is a digest's folder name."""
    return FOLDER_NAME.fullmatch(name) is not None


def is_compile_key(name: str) -> bool:
    """Whether a name is a compile cache's."""
    return COMPILE_KEY.fullmatch(name) is not None


def is_of_layout(name: str) -> bool:
    """Whether a name is one that the top of a part has."""
    return name in {*FOLDERS, "agent.sock"}


class _Look:
    """A look at one part."""

    def __init__(
        self, namespace: str, part: int, seen: Seen, measurements: Measurements, is_live: Callable[[str, str], bool]
    ) -> None:
        self._namespace = namespace
        self._part = part
        self._seen = seen
        self._pods = seen.pods_of(namespace)
        self._links = links(part, self._pods)
        self._measurements = measurements
        self._is_live = is_live
        self.other = untrusted_files.Size()
        self.is_whole = True
        self._files = 0
        self.items: list[Item] = []

    def folder(self, kind: Kind) -> None:
        try:
            with untrusted_files.opened_folder(kind, self._part) as folder:
                for name, found in untrusted_files.listed("", folder).items():
                    if _FORMS[kind].fullmatch(name) and stat.S_ISDIR(found.st_mode):
                        self._item(kind, name, folder, found)
                    else:
                        untrusted_files.measure(name, folder, self.other)
        except OSError:  # not a folder, or no longer: what it is instead is measured with the rest
            untrusted_files.measure(kind, self._part, self.other)

    def _item(self, kind: Kind, name: str, parent: int, found: os.stat_result) -> None:
        if self._files >= untrusted_files.MAX_FILES:
            self.is_whole = False
            return
        size = self._measurements.of(self._namespace, kind, name, parent, found)
        self._files += size.files
        self.is_whole &= size.is_whole
        last_used_s = min(found.st_mtime, self._measurements.now_s())  # owners may set any time
        pins = self._pins(kind, name, parent)
        if kind is Kind.COMPILE_CACHE:
            last_used_s = max(last_used_s, found.st_ctime)
            pins = pins or int(self._measurements.now_s() - found.st_ctime < COMPILE_CACHE_GRACE_S)
        self.items.append(Item(self._namespace, kind, name, size.size_bytes, last_used_s, pins))

    def _pins(self, kind: Kind, name: str, parent: int) -> int:
        is_used = self._seen.is_used(PurePosixPath(self._namespace, kind, name))
        digest = digest_of_staging(name)
        if kind is Kind.ENTRY:
            pods = len(self._links.get(name, ()))
        elif is_broken(name):
            return int(is_used)
        elif kind is Kind.STAGING:
            pods = int(is_locked(digest, self._part))
        else:
            pods = _pods_of_compile_cache(name, parent, self._pods)
        return max(pods, int(is_used), int(self._is_live(self._namespace, digest)))


def _pods_of_compile_cache(key: str, parent: int, pods: frozenset[str]) -> int:
    try:
        with untrusted_files.opened_folder(key, parent) as cache, untrusted_files.opened_folder("pods", cache) as users:
            return sum(untrusted_files.status(pod, users) is not None for pod in pods)
    except OSError:
        return 0


def look(
    namespace: str, part: int, seen: Seen, measurements: Measurements, is_live: Callable[[str, str], bool]
) -> Contents:
    """What the part holds now. ``is_live``: whether a digest's folder is being fetched in a namespace."""
    a_look = _Look(namespace, part, seen, measurements, is_live)
    for kind in Kind:
        a_look.folder(kind)
    with_items = {str(kind) for kind in Kind}
    for name in untrusted_files.folder_names(part):
        if name not in with_items:
            untrusted_files.measure(name, part, a_look.other)
    items = tuple(a_look.items)
    measurements.keep_only(namespace, items)
    used_bytes = a_look.other.size_bytes + sum(item.size_bytes for item in items)
    return Contents(items, used_bytes, a_look.is_whole and a_look.other.is_whole)


def _by_digest(items: Iterable[Item]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for item in items:
        digest = digest_of_staging(item.name)
        sizes[digest] = sizes.get(digest, 0) + item.size_bytes
    return sizes
