"""What a source of models is to the rest of the fetcher, and which one serves which URI scheme (SOURCES).

There are two kinds: a Source is fetched from, a MountedModel lies in the pod already. Each source's module is imported
when it is needed: boto3 alone takes a second.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from modelyard.contract.errors import InvalidError
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.configuration import Configuration
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.transport.slowness import StallClock

SOURCES = {
    "s3": "modelyard.fetcher.sources.s3.bucket",
    "hf": "modelyard.fetcher.sources.hf",
    "https": "modelyard.fetcher.sources.https",
    "pvc": "modelyard.fetcher.sources.pvc",
}
"""Scheme -> module with a function ``open_source(configuration)`` that returns a Source or a MountedModel."""


class RangeReader(Protocol):
    """Some bytes of one file, as they come over one connection. For one thread, but for ``abort``."""

    def readinto(self, target: memoryview, /) -> int:
        """Fills ``target`` with the next bytes and returns how many: fewer at the end, where the connection broke after
        them, and where they come slowly; 0 at the end. Raises StreamBrokenError when it broke before the first of them.
        """

    def abort(self) -> None:
        """Ends it under the thread that reads."""

    def close(self) -> None:
        """To be called once, at the end: the connection is kept where it was read whole."""


class Source(Protocol):
    """One model at one place, for one attempt, which rereads the credentials. Thread-safe.

    Every method raises FetchError, with the cause by name, when the source cannot be used as configured.
    """

    def files(self) -> tuple[RemoteFile, ...]:
        """The model's files as they are now; never empty."""

    def open_range(self, file: RemoteFile, offset: int, length: int, clock: StallClock, /) -> RangeReader:
        """The file's bytes from ``offset`` on, ``length`` (more than 0) many.

        Raises StreamBrokenError when no answer comes or ``clock`` shows that it is too slow, WholeFileOnlyError when
        the server sends only the whole file (later reads then skip the bytes before ``offset``), and
        FetchError(SOURCE_CHANGED) when the source no longer holds the version that was listed.
        """

    def check_access(self, files: Iterable[RemoteFile]) -> None:
        """Reads one byte of each file. Raises FetchError when one is refused to these credentials now."""

    def stamp(self, file: RemoteFile, /) -> str:
        """What changes when the file is uploaded again: its version and date, as the source shows them now. Empty if
        it shows neither.
        """

    def check_unchanged(self) -> None:
        """Raises FetchError(SOURCE_CHANGED) when the source lists other content than ``files`` returned."""


@dataclass(frozen=True)
class MountedModel:
    """A model that the engine's container mounts where it lies: it is checked, and nothing is fetched."""

    size_bytes: int


def open_source(configuration: Configuration) -> Source | MountedModel:
    """The source of the configured URI. Raises InvalidError for a scheme without a source."""
    scheme, _, _ = configuration.uri.partition("://")
    if scheme not in SOURCES:
        known = ", ".join(f"{name}://" for name in SOURCES)
        raise InvalidError(
            Reason.UNKNOWN_SCHEME,
            f"spec.model.uri is {configuration.uri!r}; this version of modelyard-fetch supports {known}",
        )
    opener: Callable[[Configuration], Source | MountedModel] = importlib.import_module(SOURCES[scheme]).open_source
    return opener(configuration)
