"""Some bytes of one file, over as many connections as it takes."""

import threading

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.failure import FetchError, StreamBrokenError
from modelyard.fetcher.sources.source import RangeReader, Source

_BARREN_TRIES = 3
"""So many connections in a row may break before a first byte; each byte that comes starts the count anew."""

_PAUSE_S = 0.2
"""Before the second try, and as much longer before each further one."""


class AbandonedError(Exception):
    """Ends the workers of an attempt that has failed already."""


class RetryingReader:
    """For one worker; ``abandoned`` ends it from outside, and wakes it where it waits."""

    def __init__(self, source: Source, file: RemoteFile, offset: int, end: int, abandoned: threading.Event) -> None:
        self._source = source
        self._file = file
        self._offset = offset
        self._end = end
        self._abandoned = abandoned
        self._reader: RangeReader | None = None
        self._barren_tries = 0

    def fill(self, target: memoryview) -> int:
        """The next bytes: at least one, and mostly as many as ``target`` takes.

        Raises FetchError, WholeFileOnlyError, and AbandonedError once it is told to end.
        """
        while True:
            broken = StreamBrokenError("the connection ended early")
            try:
                count = self._opened().readinto(target)
            except StreamBrokenError as error:
                count, broken = 0, error
            if count:
                self._offset += count
                self._barren_tries = 0
                return count
            self.close()
            self._try_again(broken)

    def _opened(self) -> RangeReader:
        if self._abandoned.is_set():
            raise AbandonedError
        if self._reader is None:
            self._reader = self._source.open_range(self._file, self._offset, self._end - self._offset)
        return self._reader

    def _try_again(self, broken: StreamBrokenError) -> None:
        self._barren_tries += 1
        if self._barren_tries == _BARREN_TRIES:
            raise broken.refusal or FetchError(
                Reason.ENDPOINT_UNREACHABLE,
                f"{self._file.key} stopped at byte {self._offset} of {self._file.size_bytes} ({broken}), "
                f"{_BARREN_TRIES} times in a row: check the network between this node and the source, and the "
                "source's log",
            )
        if self._barren_tries > 1:
            self._abandoned.wait(_PAUSE_S * (self._barren_tries - 1))

    def abort(self) -> None:
        """Wakes the worker that waits for bytes."""
        if reader := self._reader:
            reader.abort()

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader:
            reader.close()
