"""Decides how many connections to use, by measuring the throughput with more and with fewer of them. Pure.

A few fill a fast link, and more only cost processor time; object stores give each connection 80-100 MB/s and need many
(measured: research of the field, S3's own guidance is one connection for each 85-90 MB/s wanted).
"""

from dataclasses import dataclass

FIRST = 4
"""Enough for a link to a server on the same network, at the least time of the processor (measured); a slower one is
found out within the first window."""

_FAST_BYTES_PER_S = 110e6
"""Of one connection. Where each gives less, it may be the connections that are slow: many more are tried at once."""

_MANY_MORE = 8
"""Times. What proves too many is halved: a link that is full already loses nothing by that."""

_SETTLE_S = 0.1
"""After a change: new connections have to be made, and to get up to speed."""

_FIRST_WINDOW_S = 0.1
_WINDOW_S = 0.2
"""Longer where two levels are compared."""

_STALL_LIMIT_S = 1.0
"""For so long after a change, a moment without any bytes does not count: a disk that flushes stalls every connection
(seen: 0.3 s), whatever the link."""

_WORTH = 0.35
"""More connections are kept if the throughput grows by at least this share of linear scaling."""

_PROBE_AGAIN_S = 3.0
"""A link changes: more connections are tried again this long after the last try, then at growing intervals."""

_PAUSE_AFTER_THROTTLING_S = 5.0


@dataclass(frozen=True)
class _Level:
    connections: int
    bytes_per_s: float


class ConnectionCount:
    """Samples the bytes received so far, and decides how many connections there should be."""

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self.connections = min(FIRST, self._limit)
        self._before: _Level | None = None
        """The level that is being left, while it is not known whether the new one is better."""
        self._window: tuple[float, int] | None = None
        self._begins_s: float | None = None
        self._bytes_before = 0
        self._probe_at_s: float | None = None
        self._probe_delay_s = _PROBE_AGAIN_S

    def sample(self, now_s: float, bytes_total: int) -> int:
        """The number of connections from now on. ``now_s`` is monotonic; ``bytes_total`` may go back."""
        if self._begins_s is None or bytes_total <= 0:
            self._begins_s = now_s + _SETTLE_S if bytes_total > 0 else None
            return self.connections
        if now_s < self._begins_s:
            return self.connections
        is_stalled = bytes_total == self._bytes_before and now_s < self._begins_s + _STALL_LIMIT_S
        self._bytes_before = bytes_total
        if self._window is None or is_stalled:
            self._window = (now_s, bytes_total)
            return self.connections
        begin_s, begin_bytes = self._window
        if now_s - begin_s >= (_WINDOW_S if self._before else _FIRST_WINDOW_S):
            self._decide(now_s, _Level(self.connections, max(0, bytes_total - begin_bytes) / (now_s - begin_s)))
        return self.connections

    def throttled(self, now_s: float) -> None:
        """The server asked for fewer requests."""
        self._before = None
        self._change(now_s, max(1, self.connections // 2))
        self._probe_at_s = now_s + _PAUSE_AFTER_THROTTLING_S

    def _decide(self, now_s: float, level: _Level) -> None:
        self._window = None
        before = self._before
        if before and level.bytes_per_s < before.bytes_per_s * _worth(before, level):
            if level.connections > 2 * before.connections:
                self._change(now_s, level.connections // 2)
            else:
                self._settle(now_s, before.connections)
        elif self._probe_at_s and now_s < self._probe_at_s:
            self._before = None
        elif level.connections < self._limit:
            self._before = level
            self._change(now_s, min(self._limit, level.connections * _growth(level)))

    def _settle(self, now_s: float, connections: int) -> None:
        self._before = None
        self._probe_at_s = now_s + self._probe_delay_s
        self._probe_delay_s *= 2
        self._change(now_s, connections)

    def _change(self, now_s: float, connections: int) -> None:
        self.connections = connections
        self._window = None
        self._begins_s = now_s + _SETTLE_S


def _growth(level: _Level) -> int:
    """How many times as many connections to try."""
    return _MANY_MORE if level.bytes_per_s < level.connections * _FAST_BYTES_PER_S else 2


def _worth(before: _Level, level: _Level) -> float:
    """By how much more bytes must come with the connections added."""
    return 1 + _WORTH * (level.connections / before.connections - 1)
