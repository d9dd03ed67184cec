"""The regular full LIST: repairs the cache after missed events, detects stuck watches, and finds out which optional
kinds the cluster has.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, key_of
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, Listed, NotFoundError
from modelyard.controller.dispatch.workqueue import WorkQueue

WATCH_LAG_S = 10.0
"""How long after a LIST a watch may take to deliver what the LIST saw, in seconds; a healthy one takes less than 1."""

RETRY_S = 15.0

logger = logging.getLogger(__name__)


class Resync:
    """Makes the cache equal to what the API server has, and queues every service.

    ``done`` is called after each success with the kinds whose watch was behind. ``random`` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        queue: WorkQueue[Key],
        done: Callable[[frozenset[Kind]], Awaitable[None]],
        *,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._queue = queue
        self._done = done
        self._random = random
        self._sleep = sleep

    async def first(self) -> None:
        """Fill the cache before there are watches. Raises ApiError."""
        await self._take(await self._list(), frozenset())

    async def forever(self, interval_s: float) -> None:
        """Resync again and again, each time after the interval give or take a fifth of it."""
        wait_s = interval_s
        while True:
            await self._sleep(wait_s * (0.8 + 0.4 * self._random()))
            try:
                await self.again()
                wait_s = interval_s
            except ApiError as error:
                logger.warning("resync failed", extra={"error": str(error)})
                wait_s = min(RETRY_S, interval_s)

    async def again(self) -> None:
        """Resync once, beside watches. Raises ApiError."""
        listed = await self._list()
        await self._sleep(WATCH_LAG_S)
        late = {
            kind: self._cache.behind(kind, objects.items)
            for kind, objects in listed.items()
            if objects is not None and kind not in self._cache.absent_kinds
        }
        behind = frozenset(kind for kind, count in late.items() if count)
        for kind in behind:
            logger.warning("watch is behind", extra={"kind": kind.kind, "objects": late[kind]})
        await self._take(listed, behind)

    async def _list(self) -> dict[Kind, Listed | None]:
        lists = await asyncio.gather(*(self._list_one(kind, selector) for kind, selector in kinds.WATCHED.items()))
        return dict(zip(kinds.WATCHED, lists, strict=True))

    async def _list_one(self, kind: Kind, selector: str) -> Listed | None:
        """None where the cluster lacks an optional kind."""
        try:
            return await self._cluster.list(kind, selector)
        except NotFoundError:
            if kind.optional:
                return None
            raise

    async def _take(self, listed: dict[Kind, Listed | None], behind: frozenset[Kind]) -> None:
        for kind, objects in listed.items():
            if objects is None:
                if kind not in self._cache.absent_kinds:
                    logger.info("the cluster lacks an optional kind", extra={"kind": kind.kind})
                self._cache.lose(kind)
                continue
            self._cache.replace_all(kind, objects.items, objects.resource_version)
            await asyncio.sleep(0)  # lets other work in between: each kind may hold thousands of objects
        for body in self._cache.all_of(kinds.INFERENCE_SERVICE):
            self._queue.add(key_of(body))
        await self._done(behind)
