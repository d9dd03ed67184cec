"""Takes keys from the queue and has them reconciled, a number of them side by side."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from modelyard import log
from modelyard.api.service import Key
from modelyard.cluster import ApiError
from modelyard.metrics import Metrics
from modelyard.workqueue import WorkQueue

RECONCILE_TIMEOUT_S = 60.0
"""Longest time of one reconcile; each call in it ends by itself after 10 s."""

logger = logging.getLogger(__name__)

Reconcile = Callable[[Key], Awaitable[float | None]]


class Workers:
    """Workers over one queue. ``reconcile`` returns after how many seconds to look again, None for not at all."""

    def __init__(self, queue: WorkQueue[Key], reconcile: Reconcile, metrics: Metrics) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._metrics = metrics
        self._idle: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def run(self, count: int) -> None:
        """Work with ``count`` workers until stop()."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                self._idle.add(group.create_task(self._work(), name=f"worker {number}"))

    async def stop(self, grace_s: float) -> None:
        """Take no further key, and give those in work ``grace_s`` seconds to come to their end."""
        self._stopping = True
        for task in self._idle:
            task.cancel()
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=grace_s)
        for task in self._busy:
            task.cancel()

    async def _work(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        while not self._stopping:
            await asyncio.sleep(0)  # neither a full queue nor a reconcile that only looks into the cache ever waits
            key = await self._queue.get()
            self._idle.remove(me)
            self._busy.add(me)
            try:
                await self._handle(key)
            finally:
                self._busy.remove(me)
                self._idle.add(me)

    async def _handle(self, key: Key) -> None:
        error_reason, after_s = "Cancelled", None
        started_s = time.monotonic()
        with log.service(str(key)):
            try:
                async with asyncio.timeout(RECONCILE_TIMEOUT_S):
                    after_s = await self._reconcile(key)
                error_reason = ""
            except ApiError as error:
                error_reason = error.reason
                logger.warning("reconcile failed, to be tried again", extra={"error": str(error)})
            except TimeoutError:
                error_reason = "Timeout"
                logger.warning("reconcile took too long, to be tried again", extra={"limit_s": RECONCILE_TIMEOUT_S})
            except Exception as error:
                # A defect of ours in one service's case must not end the work on all others.
                error_reason = type(error).__name__
                logger.exception("reconcile failed, to be tried again")
            finally:
                self._metrics.reconciled(time.monotonic() - started_s, error_reason)
                self._queue.done(key, failed=bool(error_reason))
        if after_s is not None:
            self._queue.add_after(key, after_s)
