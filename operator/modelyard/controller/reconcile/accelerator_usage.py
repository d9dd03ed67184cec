"""Accelerator requests of all pods in the cluster, listed only when a pod of ours finds no node.

A watch of every pod would cost memory and traffic all the time for a figure that is rarely needed.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from modelyard.api import kinds
from modelyard.controller.cluster.protocol import ApiError, Cluster
from modelyard.observe.facts.device_holders import Holder, Holdings, holders, holdings
from modelyard.observe.facts.nodes import Requested, requested

KEPT = timedelta(seconds=30)
"""How long a result, or a failure, is reused for all services."""

SOONEST = timedelta(seconds=5)
"""Shortest time between two lists, however many pods are refused one after the other."""

TIME_LIMIT_S = 20.0
"""Longest time for all pages; the status of the calling service waits for it."""

ON_NODES = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of the pods that take anything: those on a node that are not over."""

logger = logging.getLogger(__name__)


class NodeUsage:
    """Shared by all services: calls while the pods are being listed wait for that list.

    Without ``sees_all`` nothing is known: what pods request in namespaces that are not visible would count as free.
    """

    def __init__(self, cluster: Cluster, now: Callable[[], datetime], *, sees_all: bool = True) -> None:
        self._cluster = cluster
        self._now = now
        self._sees_all = sees_all
        self._one_at_a_time = asyncio.Lock()
        self._listed_at: datetime | None = None
        self._taken: Requested | None = None
        self._holdings: Holdings = Counter()

    async def taken(self, since: datetime | None = None) -> Requested | None:
        """What pods request of extended resources, at most KEPT old and no older than ``since``; None when that is not
        known now.
        """
        if not self._sees_all:
            return None
        async with self._one_at_a_time:
            if self._listed_at is None or self._is_old(self._listed_at, since):
                listed_at = self._now()
                self._taken = await self._listed()
                self._listed_at = listed_at  # not before: the caller may be cancelled while the pods are being listed
            return self._taken if since is None or self._listed_at >= since else None

    def _is_old(self, listed_at: datetime, since: datetime | None) -> bool:
        age = self._now() - listed_at
        return age >= KEPT or (since is not None and listed_at < since and age >= SOONEST)

    def holders(self, resource: str) -> tuple[Holder, ...]:
        """Who holds the resource by the last result of taken(); none while that is not known."""
        return holders(self._holdings, resource)

    async def _listed(self) -> Requested | None:
        total: Requested = Counter()
        held: Holdings = Counter()
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                async for page in self._cluster.pages(kinds.POD, ON_NODES):
                    total.update(requested(page))
                    held.update(holdings(page))
        except (ApiError, TimeoutError) as error:
            logger.warning("what pods take of the nodes is not known", extra={"error": str(error)})
            self._holdings = Counter()
            return None
        self._holdings = held
        return total
