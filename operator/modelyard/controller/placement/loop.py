"""Shows the scheduler where models lie: labels nodes by what their agents report.

A loop of its own, beside the reconciles: what nodes hold changes neither a service's children nor its status, and one
round serves all services.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, ConflictError, NotFoundError, NotLeadingError
from modelyard.controller.metrics import Metrics
from modelyard.controller.placement.node_labels import Held, LabelChange, ServedModel, label_changes
from modelyard.integrations.signals.node_cache import NodeCache
from modelyard.observe.facts.csi_nodes import agents
from modelyard.observe.facts.raw_object import at, text

INTERVAL_S = 30.0
"""Time between two rounds."""

ROUND_LIMIT_S = 300.0
"""Longest time of a round: what 3,000 nodes take if every agent is silent."""

ASKED_AT_ONCE = 64
"""Requests to agents at once; 500 silent agents take 40 s then."""

CHANGES_PER_ROUND = 50
"""Nodes that are written in one round: each write goes to every watch of nodes."""

GONE_S = 600.0
"""How long a node may be without an agent, as during an upgrade, before its labels are removed."""

ReadNodeCache = Callable[[str], Awaitable[NodeCache | None]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """What the agents reported: ``held`` by node, None where one is silent; ``without_folder`` counts those without a
    folder for models.
    """

    held: Mapping[str, Held | None]
    without_folder: int


class Placement:
    """Labels nodes. ``services`` are those of this installation, ``namespace`` is its own, where the agents are.
    ``now_s`` is a clock that never goes back.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        metrics: Metrics,
        *,
        namespace: str,
        services: Callable[[], Iterable[Object]],
        read: ReadNodeCache,
        now_s: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._metrics = metrics
        self._namespace = namespace
        self._services = services
        self._read = read
        self._now_s = now_s
        self._began_s = now_s()
        self._agent_seen_s: dict[str, float] = {}
        self._free = asyncio.Semaphore(ASKED_AT_ONCE)

    async def round(self) -> None:
        """Read every agent's report, and write what differs. What fails is retried in the next round."""
        answers = await self._ask()
        held = {**dict.fromkeys(self._left_of_late(answers.held)), **answers.held}
        changes = label_changes(self._cache.all_of(kinds.NODE), map(_served, self._services()), held)
        written = await self._write(changes[:CHANGES_PER_ROUND])
        silent = sum(held is None for held in answers.held.values())
        self._metrics.placed(
            answering=len(answers.held) - silent - answers.without_folder,
            silent=silent,
            without_folder=answers.without_folder,
            waiting=len(changes) - written,
        )

    async def _ask(self) -> Answers:
        pods = agents(self._cache.all_of(kinds.POD), self._namespace)
        by_node = {node: pod for pod in sorted(pods, key=_is_running) if (node := text(pod, "spec", "nodeName"))}
        caches = dict(zip(by_node, await asyncio.gather(*map(self._answer, by_node.values())), strict=True))
        now_s = self._now_s()
        self._agent_seen_s = {**self._agent_seen_s, **dict.fromkeys(by_node, now_s)}
        return Answers(
            held={node: cache.held if cache else None for node, cache in caches.items()},
            without_folder=sum(cache.path_missing for cache in caches.values() if cache),
        )

    async def _answer(self, pod: Object) -> NodeCache | None:
        """What an agent reports of its node; None while it does not run, or when it reports another node."""
        address = text(pod, "status", "podIP")
        if not address or not _is_running(pod):
            return None
        async with self._free:
            cache = await self._read(address)
        return cache if cache and cache.node == text(pod, "spec", "nodeName") else None

    def _left_of_late(self, answered: Iterable[str]) -> list[str]:
        """Nodes without an agent that may have had one until now."""
        nodes = {text(body, "metadata", "name") for body in self._cache.all_of(kinds.NODE)}
        self._agent_seen_s = {node: seen_s for node, seen_s in self._agent_seen_s.items() if node in nodes}
        soonest_s = self._now_s() - GONE_S
        return [node for node in nodes - set(answered) if self._agent_seen_s.get(node, self._began_s) > soonest_s]

    async def _write(self, changes: Iterable[LabelChange]) -> int:
        """Returns how many were written, or need not be since the node is gone."""
        done = 0
        for change in changes:
            try:
                written = await self._cluster.label(kinds.NODE, Key("", change.node), change.uid, change.labels)
            except (NotFoundError, ConflictError):
                pass  # the watch delivers it
            except NotLeadingError:
                return done
            except ApiError as error:
                logger.warning("nodes cannot be labelled", extra={"node": change.node, "error": str(error)})
                return done
            else:
                self._cache.upsert(kinds.NODE, written)
                logger.info("node labelled", extra={"node": change.node, "labels": dict(change.labels)})
            done += 1
        return done


def _is_running(pod: Object) -> bool:
    return text(pod, "status", "phase") == "Running" and at(pod, "metadata", "deletionTimestamp") is None


def _served(service: Object) -> ServedModel:
    return ServedModel(
        uid=text(service, "metadata", "uid"),
        namespace=text(service, "metadata", "namespace"),
        digest=text(service, "status", "model", "digest") or None,
    )
