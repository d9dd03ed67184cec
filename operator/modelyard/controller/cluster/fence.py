"""Until when this process may write: keeps one that was frozen or cut off from writing beside its successor."""

import math
from collections.abc import Callable


class Fence:
    """Closed until it is opened, and closed again by time alone: no code has to run for that.

    ``now_s`` is a clock that never goes back and does not stand still while the process is frozen.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._begin_until_s = self._end_by_s = -math.inf

    def open(self, begin_until_s: float, end_by_s: float) -> None:
        """Let writes begin until one moment and have them end by another, both on the fence's clock."""
        self._begin_until_s, self._end_by_s = begin_until_s, end_by_s

    def close(self) -> None:
        """Let no write begin."""
        self._begin_until_s = -math.inf

    @property
    def time_left_s(self) -> float:
        """How long a write that begins now may take; 0 when none may begin."""
        now_s = self._now_s()
        return self._end_by_s - now_s if now_s < self._begin_until_s else 0.0


def always_open() -> Fence:
    """A fence for a process that is the only writer of its cluster."""
    fence = Fence(lambda: 0.0)
    fence.open(math.inf, math.inf)
    return fence
