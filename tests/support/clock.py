"""Clocks that no real time passes on: one stands still until a test moves it, one jumps to what is due next."""

import asyncio
import heapq
import selectors
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(order=True)
class FakeAlarm:
    """A callback that is due at ``at``."""

    at: float
    order: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """Stands in for an event loop's time() and call_later()."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._alarms: list[FakeAlarm] = []
        self._count = 0

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeAlarm:
        self._count += 1
        alarm = FakeAlarm(self._now + delay, self._count, callback)
        heapq.heappush(self._alarms, alarm)
        return alarm

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, with every callback called at its time."""
        end = self._now + seconds
        while self._alarms and self._alarms[0].at <= end:
            alarm = heapq.heappop(self._alarms)
            self._now = alarm.at
            if not alarm.cancelled:
                alarm.callback()
        self._now = end

    def advance_to_next(self) -> bool:
        """Go to the next callback that is due, if there is one."""
        due = [alarm for alarm in self._alarms if not alarm.cancelled]
        if not due:
            return False
        self.advance(min(due).at - self._now)
        return True


class _NoWait(selectors.DefaultSelector):
    """Returns at once, and counts for how long it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waited_s += timeout or 0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: its time goes on to the next timer as soon as nothing else is to be done."""

    def __init__(self) -> None:
        self._selector_of_time = _NoWait()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        return self._selector_of_time.waited_s
