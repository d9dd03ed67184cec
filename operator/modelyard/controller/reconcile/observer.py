"""Looks at all that there is of one service: in the cache, and where only pods, Events and nodes can tell."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.prefetch_round import job_of
from modelyard.api.service import Key, Object, Service
from modelyard.api.settings import Settings
from modelyard.contract.fetch_report import FetchReport
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import Cluster
from modelyard.controller.reconcile.accelerator_usage import NodeUsage
from modelyard.controller.reconcile.csi_drivers import NodeDrivers
from modelyard.controller.reconcile.ownership import Ownership, ownership
from modelyard.integrations.signals.repository_index import Index
from modelyard.observe.facts import service as observed
from modelyard.observe.prefetch_plan import Plan, Present, job_for, pods_of
from modelyard.observe.reasons.csi_driver import nodes_in_doubt

ReadFetchState = Callable[[str], Awaitable[FetchReport | None]]
ReadIndex = Callable[[str], Awaitable[Index | None]]


class Observer:
    """Shared by all services. ``read_fetch_state`` asks a pod's fetcher by its address, ``read_index`` a pod's
    repository of models by its address with port.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        cache: Cache,
        *,
        read_fetch_state: ReadFetchState,
        read_index: ReadIndex,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._cache = cache
        self._node_usage = NodeUsage(cluster, now, sees_all=not settings.namespaces)
        self._node_drivers = NodeDrivers(
            cluster, cache, agents_namespace=None if settings.namespaces else settings.operator_namespace
        )
        self._read_fetch_state = read_fetch_state
        self._read_index = read_index
        self._now = now

    async def facts(self, key: Key, uid: str, *, resource: str | None, prefetch: Plan | None) -> observed.Facts:
        """What there is now of the service of that uid, whose pods ask for that resource. Raises ApiError."""
        children = self._children(key, uid, prefetch)
        asked = observed.questions(children, self._now())
        states = await asyncio.gather(*(self._read_fetch_state(address) for address in asked.fetchers.values()))
        indexes = await asyncio.gather(*(self._read_index(address) for address in asked.indexes.values()))
        lists = (self._cluster.list_events(key.namespace, about) for about in asked.events.values())
        events = dict(zip(asked.events, await asyncio.gather(*lists), strict=True))
        doubtful = nodes_in_doubt((*children.pods, *children.prefetch_pods), events)
        wants_usage = asked.nodes and resource
        return observed.facts(
            children,
            fetch_states=dict(zip(asked.fetchers, states, strict=True)),
            indexes=dict(zip(asked.indexes, indexes, strict=True)),
            events=events,
            hosts=self._hosts(asked.hosts),
            nodes=self._cache.all_of(kinds.NODE) if asked.nodes else None,
            resource=resource,
            taken=await self._node_usage.taken(asked.refused_since) if wants_usage else None,
            registered=await self._node_drivers.registered(doubtful),
        )

    def prefetching(self, service: Service) -> Present:
        """What there is now of the nodes that are to have the service's model ahead of its pods."""
        return Present(
            self._own(kinds.JOB, job_of(service.key), service.key, service.uid),
            self._cache.prefetch_pods(service.key),
            self._cache.pods(service.key),
            self._cache.all_of(kinds.NODE),
            service.status.get("prefetch"),
            writes_labels=not self._settings.namespaces,
        )

    def _children(self, key: Key, uid: str, prefetch: Plan | None) -> observed.Children:
        job = self._own(kinds.JOB, job_of(key), key, uid)
        present = job_for(prefetch.asked, job) if prefetch else None
        return observed.Children(
            self._own(kinds.DEPLOYMENT, key, key, uid),
            self._cache.pods(key),
            present,
            pods_of(present, self._cache.prefetch_pods(key)),
        )

    def _own(self, kind: Kind, place: Key, service: Key, uid: str) -> Object | None:
        """The child at ``place``, if it is the service's."""
        child = self._cache.get(kind, place)
        return child if child and ownership(child, service.name, uid) is Ownership.OURS else None

    def _hosts(self, names: Iterable[str]) -> dict[str, Object | None]:
        """These nodes; none at all while no node is known, as in a cluster whose nodes are not shown to us."""
        found = {name: self._cache.get(kinds.NODE, Key("", name)) for name in names}
        return found if any(found.values()) or self._cache.all_of(kinds.NODE) else {}
