"""Some bytes of one file, over as many connections as it takes."""

import logging
import threading
import time

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.failure import FetchError, StreamBrokenError
from modelyard.fetcher.sources.source import RangeReader, Source
from modelyard.fetcher.transport.slowness import WINDOW_S, Pace, StallClock

_log = logging.getLogger(__name__)

_BARREN_TRIES = 3
"""So many connections in a row may break before a first byte; each byte received resets the count."""

_PAUSE_S = 0.2
"""Before the second try, and as much longer before each further one."""


class AbandonedError(Exception):
    """Ends the workers of an attempt that has failed already."""


class RetryingReader:
    """For one worker; ``abandoned`` ends it from outside, and ``abort`` wakes it where it waits.

    A connection that is silent, or far below the ``pace`` of the others, is replaced by a new one.
    """

    def __init__(
        self, source: Source, file: RemoteFile, offset: int, end: int, *, abandoned: threading.Event, pace: Pace
    ) -> None:
        self._source = source
        self._file = file
        self._offset = offset
        self._end = end
        self._abandoned = abandoned
        self._pace = pace
        self._clock = StallClock()
        self._reader: RangeReader | None = None
        self._barren_tries = 0
        self._received_bytes = 0
        self._waited_s = 0.0

    def fill(self, target: memoryview) -> int:
        """The next bytes: at least one, and mostly as many as ``target`` takes.

        Raises FetchError, WholeFileOnlyError, and AbandonedError once it is to end.
        """
        self._clock.resume()
        try:
            while not (count := self._read(target)):
                pass
        finally:
            self._clock.pause()
        return count

    def _read(self, target: memoryview) -> int:
        broken = StreamBrokenError("the connection ended early")
        try:
            reader = self._opened()
            began_s = time.monotonic()
            count = reader.readinto(target)
            self._waited_s += time.monotonic() - began_s
        except StreamBrokenError as error:
            count, broken = 0, error
        if not count:
            self._end_connection()
            self._try_again(broken)
            return 0
        self._offset += count
        self._received_bytes += count
        self._barren_tries = 0
        if self._waited_s >= WINDOW_S:
            self._measure()
        return count

    def _measure(self) -> None:
        if self._pace.is_far_below(self._received_bytes, self._waited_s):
            _log.warning(
                "a connection brought %d bytes of %s in %.0f s, far below the others: it is replaced",
                self._received_bytes,
                self._file.key,
                self._waited_s,
            )
            self._end_connection()
        self._received_bytes, self._waited_s = 0, 0.0

    def _opened(self) -> RangeReader:
        if self._abandoned.is_set():
            raise AbandonedError
        if self._reader is None:
            self._received_bytes, self._waited_s = 0, 0.0
            self._reader = self._source.open_range(self._file, self._offset, self._end - self._offset, self._clock)
        return self._reader

    def _try_again(self, broken: StreamBrokenError) -> None:
        if self._abandoned.is_set():
            raise AbandonedError
        self._barren_tries += 1
        if self._barren_tries == _BARREN_TRIES or self._clock.is_over:
            raise broken.refusal or FetchError(
                Reason.ENDPOINT_UNREACHABLE,
                f"{self._file.key} stopped at byte {self._offset} of {self._file.size_bytes} ({broken}; requested "
                f"{self._barren_tries} times): check the network between this node and the source, and the source's "
                "log",
            )
        if self._barren_tries > 1:
            self._abandoned.wait(_PAUSE_S * (self._barren_tries - 1))

    def abort(self) -> None:
        """Wakes the worker that waits for bytes."""
        self._clock.end()
        if reader := self._reader:
            reader.abort()

    def close(self) -> None:
        """To be called once, at the end."""
        self._pace.note(self._received_bytes, self._waited_s)
        self._end_connection()

    def _end_connection(self) -> None:
        reader, self._reader = self._reader, None
        if reader:
            reader.close()
