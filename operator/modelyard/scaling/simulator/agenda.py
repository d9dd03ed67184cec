"""What happens next: actions by time, those of one moment in the order in which they were put down."""

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Agenda:
    """``now_s`` is the simulated time, in seconds since the epoch."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self._heap: list[tuple[float, int, int, Action]] = []
        self._order = 0

    def at(self, time_s: float, action: Action, last: bool = False) -> None:
        """Do ``action`` at ``time_s``, or now where that is past; with ``last``, after all else of that moment."""
        self._order += 1
        heapq.heappush(self._heap, (max(time_s, self.now_s), int(last), self._order, action))

    def run(self, until_s: float, done: Callable[[], bool]) -> None:
        """Do all that is due before ``until_s``, or until ``done``."""
        heap = self._heap
        while heap and heap[0][0] < until_s:
            self.now_s, _, _, action = heapq.heappop(heap)
            action()
            if done():
                return
