"""What a source of models is to the rest of the fetcher. Each is a file beside this one, named in registry.py.

There are two kinds: a Source is fetched from, a MountedModel lies in the pod already.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from modelyard.fetcher.failure import FetchError, Reason, StreamBrokenError
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

    def authorise(self, files: Iterable[RemoteFile]) -> None:
        """Reads one byte of each of the files that ``files`` returned, with these credentials, now.

        Raises FetchError when one is refused: what another pod brought is then not for this one.
        """

    def check_unchanged(self) -> None:
        """Raises FetchError(SOURCE_CHANGED) when the source lists other content than ``files`` returned."""


@dataclass(frozen=True)
class MountedModel:
    """A model that the engine's container mounts where it lies: it was looked at, and nothing is fetched."""

    size_bytes: int


_AUTHORISE_THREADS = 8


def read_a_byte_of_each(read: Callable[[RemoteFile, int], Iterator[bytes]], files: Iterable[RemoteFile]) -> None:
    """Source.authorise by way of Source.read: the last byte of each file."""

    def read_one(file: RemoteFile) -> None:
        try:
            for _ in read(file, max(0, file.size_bytes - 1)):
                pass
        except StreamBrokenError as error:
            raise FetchError(
                Reason.ENDPOINT_UNREACHABLE,
                f"whether {file.key} may be read cannot be told ({error}): look at the network between this node and "
                "the source, and at the source's own log",
            ) from error

    with ThreadPoolExecutor(_AUTHORISE_THREADS, thread_name_prefix="authorise") as threads:
        for _ in threads.map(read_one, files):
            pass
