"""Detects a stalled answer, and a connection far below the others. Pure, but for the clock.

A stall has two limits: at half of STALL_LIMIT_S the request is repeated on a new connection; at the whole, the failure
is reported. A connection far below the others of its download (Pace) is replaced.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from statistics import median

STALL_LIMIT_S = 20.0
"""Also bounds how long a failed attempt waits for its other downloads."""

LOWEST_BYTES_PER_S = 512
"""Of one answer, on average over STALL_LIMIT_S. Thirty-two connections share a link of 16 kB/s and keep above it."""

WINDOW_S = 5.0
"""Of waiting for bytes: over so long a connection is measured."""

_FAR_BELOW = 20
"""Times slower than the others. A server that is loaded unevenly, or a link that is shared, does not come to that."""

_REMEMBERED_S = 60.0
_LEAST_BYTES = 256 * 1024
_LEAST_S = 0.05


class StallClock:
    """Measures how long an answer, a file or a listing has made no progress. For one thread, but for ``end``."""

    def __init__(self, limit_s: float | None = None, now_s: Callable[[], float] = time.monotonic) -> None:
        self.limit_s = STALL_LIMIT_S if limit_s is None else limit_s
        self._now_s = now_s
        self._since_s = now_s()
        self._paused_s: float | None = None
        self._bytes = 0
        self.has_ended = False

    def add(self, count_bytes: int) -> None:
        """Bytes came. As many as are due within the limit count as coming on."""
        self._bytes += count_bytes
        if self._bytes >= LOWEST_BYTES_PER_S * self.limit_s:
            self.came_on()

    def came_on(self) -> None:
        """Records progress, such as a page of a listing with new names, and restarts the clock."""
        self._since_s = self._now_s()
        self._bytes = 0

    def pause(self) -> None:
        """Nothing is waited for until ``resume``: that time does not count."""
        if self._paused_s is None:
            self._paused_s = self._now_s()

    def resume(self) -> None:
        if self._paused_s is not None:
            self._since_s += self._now_s() - self._paused_s
            self._paused_s = None

    def end(self) -> None:
        """Nothing is waited for any more: who does, gives up within about two seconds."""
        self.has_ended = True

    @property
    def stalled_s(self) -> float:
        """For how long it has made no progress."""
        if self.has_ended:
            return math.inf
        return (self._now_s() if self._paused_s is None else self._paused_s) - self._since_s

    @property
    def is_over(self) -> bool:
        """Whether the failure is to be reported."""
        return self.stalled_s >= self.limit_s

    @property
    def patience_s(self) -> float:
        """The ``stalled_s`` at which to give up the current try: half the limit, for a retry; else the limit."""
        return self.limit_s / 2 if self.stalled_s < self.limit_s / 2 else self.limit_s

    @property
    def problem(self) -> str:
        """What is wrong, in the terms that connection_errors matches."""
        return f"trickles: fewer than {LOWEST_BYTES_PER_S} bytes/s" if self._bytes else "timed out"


class Pace:
    """Of the connections of one download. Thread-safe."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._rates: deque[tuple[float, float]] = deque(maxlen=32)
        """When, and bytes per second."""

    def is_far_below(self, received_bytes: int, waited_s: float) -> bool:
        """Whether a connection that brought so much is far below what others brought of late. It is remembered too, so
        where all of them become slow, none is for long.
        """
        with self._lock:
            now_s = self._now_s()
            recent = [rate for at_s, rate in self._rates if now_s - at_s < _REMEMBERED_S]
            rate = received_bytes / max(waited_s, _LEAST_S)
            self._rates.append((now_s, rate))
        return bool(recent) and rate * _FAR_BELOW < median(recent)

    def note(self, received_bytes: int, waited_s: float) -> None:
        """A connection has ended well, and brought so much."""
        if received_bytes >= _LEAST_BYTES:
            self.is_far_below(received_bytes, waited_s)
