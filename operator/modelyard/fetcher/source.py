"""What a source of models is to the rest of the fetcher. Each is a file beside this one, named in registry.py.

There are two kinds: a Source is fetched from, a MountedModel lies in the pod already.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from modelyard.fetcher.manifest import RemoteFile

BLOCK_BYTES = 512 * 1024
"""How much of a file is in memory at once, for each of download.py's threads."""


class Source(Protocol):
    """One model at one place, for one attempt: credentials are read anew for each.

    Every method raises FetchError, with the cause by name, when the source cannot be used as configured.
    """

    def files(self) -> tuple[RemoteFile, ...]:
        """The model's files as they are now; never empty."""

    def read(self, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """The file's bytes from ``offset`` on, in blocks of at most BLOCK_BYTES.

        Raises StreamBrokenError when they stop before the end, and FetchError(SOURCE_CHANGED) when the source no longer
        holds the version that was listed.
        """

    def check_unchanged(self) -> None:
        """Raises FetchError(SOURCE_CHANGED) when the source lists other content than ``files`` returned."""


@dataclass(frozen=True)
class MountedModel:
    """A model that the engine's container mounts where it lies: it was looked at, and nothing is fetched."""

    size_bytes: int
