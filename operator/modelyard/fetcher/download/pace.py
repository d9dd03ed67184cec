"""Which connection is far below the others?"""

import threading
import time
from collections import deque
from collections.abc import Callable
from statistics import median

WINDOW_S = 5.0
"""Of waiting for bytes: over so long a connection is measured."""

_FAR_BELOW = 20
"""Times slower than the others. A server that is loaded unevenly, or a link that is shared, does not come to that."""

_REMEMBERED_S = 60.0
_LEAST_BYTES = 256 * 1024
_LEAST_S = 0.05


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
