"""The model cache's layout on disk, shared by the fetcher, the engine's mount and the node agent.

    <cache>/entries/<digest>/      a whole, verified model; the folder is named by its content and never written again
    <cache>/records/<digest>.json  the verified checksums of the entry's files, so that the bytes can be checked again
    <cache>/records/<digest>.corrupt    set by the node agent: the entry's bytes no longer match the record
    <cache>/staging/<digest>/      a model that is arriving; only the fetcher looks inside
    <cache>/staging/<digest>.<n>/  the same by user n, where the former is another user's
    <cache>/staging/broken-*/      an entry that was replaced, perhaps still mounted
    <cache>/locks/<digest>         the holder of the lock (flock) writes the entry; the lock dies with its holder
    <cache>/by-pod/<pod uid>       a link to ../entries/<digest>: the engine's mount (subPathExpr), and the entry's pin
    <cache>/compile/<key>/         compile cache of an engine
    <cache>/agent.sock             where the node agent grants space; absent in a volume of the pod's own

<cache> is one namespace's part of the node's cache, or a volume of the pod's own. An entry appears by one rename, so it
is there whole or not at all. The links are relative, since the kubelet and each container see the cache at paths of
their own.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.contract.digests import DIGEST, UID

FOLDER_MODE = 0o755
"""The engine may run as another user than the fetcher: it reads, and only the fetcher writes."""

RECORD_SUFFIX = ".json"
CORRUPT_SUFFIX = ".corrupt"
"""Behind an entry's name, in the folder of records: its record, and the marker that makes it no hit."""

BROKEN_PREFIX = "broken-"
"""In front of an entry's name, in the staging folder: one that was found broken and put aside."""

FOLDER_NAME = re.compile(r"sha256-[0-9a-f]{64}")
COMPILE_KEY = re.compile(r"[0-9a-f]{16,64}")
"""What the names of entries and of compile caches look like."""


def folder_name(digest: str) -> str:
    """The folder's name for a digest ``sha256:<64 hex digits>``: mount options split at colons, so it has none.

    Raises ValueError for anything else: a digest may come from a user, and no other text may become a path.
    """
    if not DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is not of the form sha256:<64 hex digits>")
    return digest.replace(":", "-")


def digest_of(folder: str) -> str:
    """The digest whose folder's name this is."""
    return folder.replace("-", ":")


@dataclass(frozen=True)
class CacheLayout:
    """Where things lie below ``root``, the cache's mount point. Computes paths and touches nothing."""

    root: Path

    @property
    def entries(self) -> Path:
        return self.root / "entries"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def records(self) -> Path:
        return self.root / "records"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def by_pod(self) -> Path:
        return self.root / "by-pod"

    @property
    def compile_caches(self) -> Path:
        return self.root / "compile"

    @property
    def agent_socket(self) -> Path:
        return self.root / "agent.sock"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders to create below the root of a new cache."""
        return (self.entries, self.records, self.staging, self.locks, self.by_pod, self.compile_caches)

    def entry(self, digest: str) -> Path:
        return self.entries / folder_name(digest)

    def record(self, digest: str) -> Path:
        return self.records / f"{folder_name(digest)}{RECORD_SUFFIX}"

    def corrupt(self, digest: str) -> Path:
        """The marker that makes an entry a miss, so that it is fetched again."""
        return self.records / f"{folder_name(digest)}{CORRUPT_SUFFIX}"

    def staged(self, digest: str) -> Path:
        """The digest's staging folder, for the first user."""
        return self.staging / folder_name(digest)

    def staged_by(self, digest: str, user: int) -> Path:
        """Where it arrives by ``user``, a number, when another one came first."""
        return self.staging / f"{folder_name(digest)}.{user}"

    def lock(self, digest: str) -> Path:
        return self.locks / folder_name(digest)

    def compile_cache(self, key: str) -> Path:
        """The folder of a compile cache. Raises ValueError for a text that is no key, since it becomes a path."""
        if not COMPILE_KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a compile cache's key")
        return self.compile_caches / key

    def link(self, pod_uid: str) -> Path:
        """The pod's link. Raises ValueError for a text that is no pod UID, since it becomes a path."""
        if not UID.fullmatch(pod_uid):
            raise ValueError(f"{pod_uid!r} is not a pod UID")
        return self.by_pod / pod_uid

    def link_target(self, digest: str) -> PurePosixPath:
        """The target of the pod's link: the entry, relative to the folder of links."""
        return PurePosixPath("..") / self.entries.name / folder_name(digest)
