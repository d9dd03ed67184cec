"""Whether nodes have the node cache's driver; read only when a pod waits for it."""

import asyncio

from modelyard.api import kinds
from modelyard.api.service import Key
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import Cluster
from modelyard.observe.facts.csi_nodes import UNKNOWN, Registered, agents, has_driver
from modelyard.observe.facts.raw_object import moment


class NodeDrivers:
    """Shared by all services. ``agents_namespace`` is where the node agents are; None where its pods are not shown."""

    def __init__(self, cluster: Cluster, cache: Cache, *, agents_namespace: str | None) -> None:
        self._cluster = cluster
        self._cache = cache
        self._agents_namespace = agents_namespace

    async def registered(self, node_names: frozenset[str]) -> Registered:
        """On which of these nodes the driver runs. Raises ApiError."""
        if not node_names:
            return UNKNOWN
        ordered = sorted(node_names)
        found = await asyncio.gather(*(self._cluster.get(kinds.CSI_NODE, Key("", name)) for name in ordered))
        objects = dict(zip(ordered, found, strict=True))
        nodes = {name: has_driver(body) for name, body in objects.items()}
        joined = {
            name: since for name, body in objects.items() if (since := moment(body, "metadata", "creationTimestamp"))
        }
        return Registered(nodes, anywhere=any(nodes.values()) or self._has_agents(), joined=joined)

    def _has_agents(self) -> bool | None:
        if self._agents_namespace is None:
            return None
        return bool(agents(self._cache.all_of(kinds.POD), self._agents_namespace))
