"""Writes a decision: the costs of the pods that are to go first, then the number."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.autoscaler.deletion_costs import ANNOTATION, cost_changes
from modelyard.controller.autoscaler.observation import Seen
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, ConflictError, NotFoundError, NotLeadingError
from modelyard.desired.replicas import decided_replicas
from modelyard.observe.facts.autoscalers import foreign_autoscalers
from modelyard.observe.facts.raw_object import at
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation

RESTORED = timedelta(minutes=1)
"""How soon a number is written again that another writer keeps replacing, who would be answered each time otherwise.
What runs does not depend on a smaller one; a larger one runs meanwhile.
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What came of a decision. ``restored_at`` is when the number of another writer was last replaced. ``holder`` is
    the writer, in words, whose number keeps the decision from taking effect, and ``held`` that number; none where it
    takes effect.
    """

    restored_at: datetime | None = None
    holder: str = ""
    held: int | None = None


class Writer:
    """Shared by all services. ``now`` gives the time in UTC."""

    def __init__(self, cluster: Cluster, cache: Cache, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._cache = cache
        self._now = now
        self._costless: set[str] = set()  # the services, by uid, whose pods refused their costs the last time

    async def write(self, seen: Seen, look: Observation, decision: Decision, last: Written) -> Written:
        """Have the decision in spec.replicas, unless it only recommends. ``last`` is what came of the one before.

        Beside another autoscaler of the service, spec.replicas is left to that one, which would write its number again:
        what runs is the larger of its number and of ours, which the status has. Raises ApiError.
        """
        service, desired = seen.service, decision.desired
        written = service.spec.replicas
        if service.spec.scaling is None or service.spec.scaling.mode == "Recommend":
            return Written(last.restored_at)
        foreign = foreign_autoscalers(self._cache.autoscalers(service.key), service.key.name, (), is_scaled=True)
        is_restored = desired == decided_replicas(service) or written == last.held
        restored_at = last.restored_at
        if written != desired and (foreign or (is_restored and not self._may_restore(restored_at))):
            if desired < min(written, look.current):
                return Written(restored_at, foreign[0].autoscaler if foreign else "another writer", written)
            written = desired
        if desired < look.current or _is_settled(seen):
            await self._write_costs(seen, decision, max(look.current - desired, 0))
        if written != desired:
            await self._cluster.scale(self._same(seen), desired)
            restored_at = self._now() if is_restored else restored_at
        return Written(restored_at)

    def _may_restore(self, restored_at: datetime | None) -> bool:
        return restored_at is None or self._now() - restored_at >= RESTORED

    def _same(self, seen: Seen) -> Object:
        """The service as it is now. Raises ConflictError where it is another than was decided for."""
        body = self._cache.get(kinds.INFERENCE_SERVICE, seen.service.key)
        if body is None or _basis(body) != _basis(seen.body):
            raise ConflictError(409, "Conflict", "the service has changed", call=f"scale {seen.service.key}")
        return body

    async def _write_costs(self, seen: Seen, decision: Decision, removed: int) -> None:
        """Costs are a hint: where they cannot be written, the ReplicaSet's own order decides.

        Raises NotLeadingError.
        """
        uid, key = seen.service.uid, seen.service.key
        for pod, cost in cost_changes(seen.pods, decision.idlest, removed).values():
            place = Key(key.namespace, pod.name)
            try:
                await self._cluster.annotate(kinds.POD, place, pod.uid, {ANNOTATION: cost})
            except NotLeadingError:
                raise
            except (NotFoundError, ConflictError):
                continue  # it went on its own
            except ApiError as error:
                if uid not in self._costless:
                    logger.warning("the least busy pods cannot be marked to go first", extra={"error": str(error)})
                self._costless.add(uid)
                return
        self._costless.discard(uid)


def _is_settled(seen: Seen) -> bool:
    """Whether all that was to go is gone: costs that pods still have are of former decisions."""
    live = sum(pod.live for _, pod in seen.pods)
    return seen.running == seen.replicas and live <= seen.replicas


def _basis(body: Object) -> Object:
    """What a decision depends on, of a service: which one it is, its spec, and whether it may be written at all."""
    return {
        "uid": body["metadata"]["uid"],
        "spec": body["spec"],
        "paused": at(body, "metadata", "annotations", names.ANNOTATION_PAUSED),
        "deleted": at(body, "metadata", "deletionTimestamp"),
    }
