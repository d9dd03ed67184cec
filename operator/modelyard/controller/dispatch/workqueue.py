"""Which key is worked on next, and when.

Keeps the promises that a level-triggered loop needs: a key waits at most once, at most one worker has it, a key that is
added while it is being worked on comes once more, a failed key comes back later and later. Does not know what a key
stands for. Belongs to one event loop.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST_S = 0.2
"""Wait after the first failure in a row; each further one doubles it."""

BACKOFF_LONGEST_S = 60.0
"""No failed key waits longer: a cure should show within a minute."""


class Alarm(Protocol):
    """A callback that is due; as asyncio.TimerHandle."""

    def cancel(self) -> None:
        """Forget the callback."""


class Clock(Protocol):
    """Time in seconds, and callbacks to come; an asyncio event loop is one."""

    def time(self) -> float:
        """Seconds since some moment; never goes back."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` in ``delay`` seconds."""


class WorkQueue(Generic[K]):
    """Keys that wait, are worked on, or are due later.

    ``random`` gives numbers from 0 to 1 and spreads the retries of keys that failed together.
    """

    def __init__(self, clock: Clock, random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self._order: asyncio.Queue[K] = asyncio.Queue()
        self._waiting_since: dict[K, float] = {}
        self._active_since: dict[K, float] = {}
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._later: dict[K, tuple[float, Alarm]] = {}

    def add(self, key: K) -> None:
        """Have ``key`` worked on as soon as a worker is free, or once more when it is being worked on."""
        self._forget_later(key)
        if key in self._active_since:
            self._again.add(key)
        elif key not in self._waiting_since:
            self._waiting_since[key] = self._clock.time()
            self._order.put_nowait(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Have ``key`` worked on in ``delay_s`` seconds, unless it comes sooner for another reason."""
        due = self._clock.time() + delay_s
        if key in self._waiting_since or (key in self._later and self._later[key][0] <= due):
            return
        self._forget_later(key)
        self._later[key] = (due, self._clock.call_later(delay_s, lambda: self.add(key)))

    async def get(self) -> K:
        """The next key, once there is one. The caller must call done() for it in every case."""
        key = await self._order.get()
        del self._waiting_since[key]
        self._active_since[key] = self._clock.time()
        return key

    def done(self, key: K, *, failed: bool = False, retry_s: float = 0) -> None:
        """The work on ``key`` ended.

        A failed key comes back after a while that doubles with each failure in a row, and is ``retry_s`` at least.
        """
        del self._active_since[key]
        if failed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            self.add_after(key, max(retry_s, self._backoff_s(failures)))
        else:
            self._failures.pop(key, None)
        if key in self._again:
            self._again.remove(key)
            self.add(key)

    def oldest_age_s(self) -> float:
        """How long the key that has waited or been worked on longest has done so; 0 when there is none."""
        now = self._clock.time()
        since = [*self._waiting_since.values(), *self._active_since.values()]
        return now - min(since, default=now)

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting_since)

    def _backoff_s(self, failures: int) -> float:
        longest = min(BACKOFF_LONGEST_S, BACKOFF_FIRST_S * 2.0 ** min(failures, 32))
        return longest * (0.5 + self._random() / 2)

    def _forget_later(self, key: K) -> None:
        if key in self._later:
            self._later.pop(key)[1].cancel()
