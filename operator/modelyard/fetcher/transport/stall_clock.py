"""Detects a stalled answer. Pure, but for the clock.

Two limits: at half of STALL_LIMIT_S the request is repeated on a new connection; at the whole, the failure is reported.
"""

import math
import time
from collections.abc import Callable

STALL_LIMIT_S = 20.0
"""Also bounds how long a failed attempt waits for its other downloads."""

LOWEST_BYTES_PER_S = 512
"""Of one answer, on average over STALL_LIMIT_S. Thirty-two connections share a link of 16 kB/s and keep above it."""


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
