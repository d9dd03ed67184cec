"""Finds leftovers: partial fetches, records without their entry, folders that were put aside.

Age is the time since the inode last changed (ctime), which its owner cannot forge.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelyard.contract.cache_layout import RECORD_SUFFIX
from modelyard.node.cache import contents
from modelyard.node.cache.budget import Kind
from modelyard.node.host import untrusted_files
from modelyard.node.host.mounts import Seen


@dataclass(frozen=True)
class CacheContext:
    """Separates leftovers from what is still needed. ``is_live``: this digest's folder is being fetched."""

    namespace: str
    seen: Seen
    living_pods: frozenset[str]
    is_live: Callable[[str, str], bool]
    now_s: float
    age_s: float


def leftovers(part: int, context: CacheContext) -> Iterator[str]:
    """The leftovers in a part, as paths of two names at most."""
    pods = context.seen.pods_of(context.namespace)
    entries, records, staging = (untrusted_files.listed(name, part) for name in ("entries", "records", "staging"))
    linked = contents.links(part, pods)

    def is_busy(name: str) -> bool:
        digest = contents.digest_of_staging(name)
        return contents.is_locked(digest, part) or context.is_live(context.namespace, digest)

    needed: dict[str, Callable[[str], bool]] = {
        "entries": lambda name: f"{name}{RECORD_SUFFIX}" in records or name in linked or is_busy(name),
        "records": lambda name: name.partition(".")[0] in {*entries, *staging},
        "staging": lambda name: not contents.is_broken(name) and is_busy(name),
        "locks": contents.is_digest,
        "by-pod": lambda name: name in pods or name in context.living_pods,
        "compile": contents.is_compile_key,
        "": contents.is_of_layout,
    }
    for folder, is_needed in needed.items():
        for name, status in untrusted_files.listed(folder, part).items():
            is_old = context.now_s - status.st_ctime > context.age_s or contents.is_broken(name)
            is_used = context.seen.is_used(PurePosixPath(context.namespace, folder, name))
            if is_old and not is_used and not is_needed(name):
                yield f"{folder}/{name}".lstrip("/")


def remove(path: str, part: int, trash: int) -> None:
    """Takes a leftover away. Raises OSError."""
    folder, _, name = path.rpartition("/")
    if not folder:
        untrusted_files.discard(name, part, trash)
        return
    with untrusted_files.opened_folder(folder, part) as parent:
        untrusted_files.discard(name, parent, trash)


def forget_pods(part: int, living: frozenset[str], trash: int) -> None:
    """Takes away what pods that are gone had of compile caches for themselves."""
    for key in untrusted_files.listed(Kind.COMPILE_CACHE, part):
        with contextlib.suppress(OSError), opened_users(key, part) as users:
            for pod in untrusted_files.folder_names(users):
                if pod not in living:
                    untrusted_files.discard(pod, users, trash)


@contextlib.contextmanager
def opened_users(key: str, part: int) -> Iterator[int]:
    """The folder ``pods`` of a compile cache. Raises OSError if there is none."""
    with (
        untrusted_files.opened_folder(Kind.COMPILE_CACHE, part) as caches,
        untrusted_files.opened_folder(key, caches) as cache,
        untrusted_files.opened_folder("pods", cache) as users,
    ):
        yield users
