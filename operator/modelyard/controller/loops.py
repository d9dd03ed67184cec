"""Work beside the reconciles, done in rounds: the common shape of placement and of every further loop.

A round runs only in the process that leads. One that takes too long ends, and one that fails is logged and counted; the
next makes up for it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from modelyard.controller.cluster.protocol import ApiError
from modelyard.controller.metrics import Metrics

STANDBY_S = 2.0
"""How soon a process that came to lead begins."""

logger = logging.getLogger(__name__)


class Loop:
    """A round again and again. ``round_`` does all that there is to do now, in at most ``limit_s`` seconds; from its
    end to the next begin ``interval_s`` seconds pass.

    ``name`` is the label of its metrics.
    """

    def __init__(
        self,
        name: str,
        round_: Callable[[], Awaitable[None]],
        *,
        interval_s: float,
        limit_s: float,
        is_leading: Callable[[], bool],
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._round = round_
        self._interval_s = interval_s
        self._limit_s = limit_s
        self._is_leading = is_leading
        self._metrics = metrics
        self._sleep = sleep
        self._in_work: asyncio.Task[None] | None = None

    async def forever(self) -> None:
        """Run until cancelled; a round in work has ended then."""
        while True:
            leading = self._is_leading()
            if leading:
                await self._run_one()
            await self._sleep(self._interval_s if leading else STANDBY_S)

    def interrupt(self) -> None:
        """End the round in work at once. Call at the loss of the right to write."""
        if self._in_work is not None:
            self._in_work.cancel()

    async def _run_one(self) -> None:
        """A task of its own, which may be interrupted while the loop continues."""
        self._in_work = asyncio.create_task(self._measured(), name=f"round of {self.name}")
        try:
            await asyncio.wait({self._in_work})
        except asyncio.CancelledError:
            self.interrupt()
            await asyncio.wait({self._in_work})
            raise
        finally:
            self._in_work = None

    async def _measured(self) -> None:
        error_reason, about = "Cancelled", {"loop": self.name}
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self._limit_s):
                await self._round()
        except ApiError as error:
            error_reason = error.reason
            logger.warning("round failed", extra=about | {"error": str(error)})
        except TimeoutError:
            error_reason = "Timeout"
            logger.warning("round took too long", extra=about | {"limit_s": self._limit_s})
        except Exception as error:
            # A defect of ours in one loop must not end the others, nor the reconciles.
            error_reason = type(error).__name__
            logger.exception("round failed", extra=about)
        else:
            error_reason = ""
        finally:
            self._metrics.round_ended(self.name, time.monotonic() - started_s, error_reason)
