"""Takes keys from the queue and reconciles several of them at once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from modelyard.api.service import Key
from modelyard.controller import log
from modelyard.controller.cluster.protocol import ApiError
from modelyard.controller.dispatch.workqueue import WorkQueue
from modelyard.controller.metrics import Metrics

RECONCILE_TIMEOUT_S = 60.0
"""Longest time of one reconcile; each call in it times out after 10 s."""

logger = logging.getLogger(__name__)

Reconcile = Callable[[Key], Awaitable[float | None]]
Admit = Callable[[Key], float | None]


class Workers:
    """Workers over one queue.

    ``admit`` returns in how many seconds a key may be reconciled: 0 for now, None for never.
    ``reconcile`` returns after how many seconds to look again, None for no need.
    """

    def __init__(self, queue: WorkQueue[Key], admit: Admit, reconcile: Reconcile, metrics: Metrics) -> None:
        self._queue = queue
        self._admit = admit
        self._reconcile = reconcile
        self._metrics = metrics
        self._waiting: set[asyncio.Task[None]] = set()
        self._in_work: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def run(self, count: int) -> None:
        """Work with ``count`` workers until stop()."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                self._waiting.add(group.create_task(self._work(), name=f"worker {number}"))

    async def stop(self, grace_s: float) -> None:
        """Take no further key, and give those in work ``grace_s`` seconds to finish."""
        self._stopping = True
        for task in self._waiting:
            task.cancel()
        if self._in_work:
            await asyncio.wait(set(self._in_work), timeout=grace_s)
        self.interrupt()

    def interrupt(self) -> None:
        """End what is in work at once; its keys come back later."""
        for task in self._in_work:
            task.cancel()

    async def _work(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        while not self._stopping:
            await asyncio.sleep(0)  # neither a full queue nor a reconcile that only looks into the cache ever waits
            key = await self._queue.get()
            self._waiting.remove(me)
            try:  # a task of its own, which may be interrupted while the worker continues
                await asyncio.wait({asyncio.create_task(self._handle(key), name=f"reconcile {key}")})
            finally:
                self._waiting.add(me)

    async def _handle(self, key: Key) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._in_work.add(me)
        after_s = self._admit(key)
        try:
            if after_s == 0:
                after_s = await self._sync(key)
            else:
                self._queue.done(key)
        finally:
            self._in_work.remove(me)
        if after_s is not None:
            self._queue.add_after(key, after_s)

    async def _sync(self, key: Key) -> float | None:
        """Reconcile the key. Returns in how many seconds to look again, None for no need or for the queue to decide."""
        error_reason, retry_s = "Cancelled", 0.0
        started_s = time.monotonic()
        with log.service(str(key)):
            try:
                async with asyncio.timeout(RECONCILE_TIMEOUT_S):
                    after_s = await self._reconcile(key)
            except ApiError as error:
                error_reason, retry_s = error.reason, error.retry_after_s
                logger.warning("reconcile failed; it will be retried", extra={"error": str(error)})
            except TimeoutError:
                error_reason = "Timeout"
                logger.warning("reconcile took too long; it will be retried", extra={"limit_s": RECONCILE_TIMEOUT_S})
            except Exception as error:
                # A defect of ours in one service's case must not end the work on all others.
                error_reason = type(error).__name__
                logger.exception("reconcile failed; it will be retried")
            else:
                error_reason = ""
                return after_s
            finally:
                self._metrics.reconciled(time.monotonic() - started_s, error_reason)
                self._queue.done(key, failed=bool(error_reason), retry_s=retry_s)
            return None
