"""Writes a decision: the costs of the pods that are to go first, then the number."""

from collections.abc import Callable
from datetime import datetime, timedelta

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.controller.autoscaler.deletion_costs import ANNOTATION, cost_changes
from modelyard.controller.autoscaler.observation import Seen
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import Cluster, ConflictError, NotFoundError
from modelyard.desired.replicas import decided_replicas
from modelyard.observe.facts.autoscalers import foreign_autoscalers
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation

RESTORED = timedelta(minutes=1)
"""How soon a number is written again that another writer keeps replacing: what runs does not depend on it."""


class Writer:
    """Shared by all services. ``now`` gives the time in UTC."""

    def __init__(self, cluster: Cluster, cache: Cache, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._cache = cache
        self._now = now

    async def write(
        self, seen: Seen, look: Observation, decision: Decision, restored_at: datetime | None
    ) -> datetime | None:
        """Have the decision in spec.replicas, unless it only recommends. Returns when the number of another writer was
        last replaced, given when it was before. Raises ApiError.
        """
        service = seen.service
        if service.spec.scaling is None or service.spec.scaling.mode == "Recommend":
            return restored_at
        if decision.desired < look.current:
            await self._write_costs(seen, decision, look.current - decision.desired)
        if service.spec.replicas == decision.desired:
            return restored_at
        if decision.desired == decided_replicas(service):
            if not self._may_restore(seen, restored_at):
                return restored_at
            restored_at = self._now()
        await self._cluster.scale(self._same(seen), decision.desired)
        return restored_at

    def _may_restore(self, seen: Seen, restored_at: datetime | None) -> bool:
        """Whether to replace the number of another writer, that changes nothing of what runs. Not that of another
        autoscaler, which would write it again: the status reports it.
        """
        key = seen.service.key
        if foreign_autoscalers(self._cache.autoscalers(key), key.name, (), is_scaled=True):
            return False
        return restored_at is None or self._now() - restored_at >= RESTORED

    def _same(self, seen: Seen) -> Object:
        """The service as it is now. Raises ConflictError where its spec is another than was decided for."""
        body = self._cache.get(kinds.INFERENCE_SERVICE, seen.service.key)
        if body is None or body["metadata"]["uid"] != seen.service.uid or body["spec"] != seen.body["spec"]:
            raise ConflictError(409, "Conflict", "the spec has changed", call=f"scale {seen.service.key}")
        return body

    async def _write_costs(self, seen: Seen, decision: Decision, removed: int) -> None:
        for pod, cost in cost_changes(seen.pods, decision.idlest, removed).values():
            place = Key(seen.service.key.namespace, pod.name)
            try:
                await self._cluster.annotate(kinds.POD, place, pod.uid, {ANNOTATION: cost})
            except (NotFoundError, ConflictError):
                continue  # it went on its own
