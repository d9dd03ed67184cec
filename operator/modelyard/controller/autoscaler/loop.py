"""Scales services: each round looks at every service with spec.scaling, decides, and writes what changed.

A decision goes to ``spec.replicas`` first, by the scale subresource, and then with the report into the status, which
the reconcile writes: only with both does a number fall (desired/replicas.py). So a process may end anywhere between.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelyard.api import kinds
from modelyard.api.scaling import Scaling
from modelyard.api.service import Key, Object, Service, parse
from modelyard.api.settings import Settings
from modelyard.contract.errors import InvalidError
from modelyard.controller import log
from modelyard.controller.autoscaler.deletion_costs import ANNOTATION, cost_changes
from modelyard.controller.autoscaler.observation import Samples, Seen, engine_pods, observation
from modelyard.controller.autoscaler.report import Reported, changes_in, report, stored
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, ConflictError, NotFoundError, NotLeadingError
from modelyard.controller.metrics import Metrics, ScalingFigures
from modelyard.desired.metadata import deployment_name
from modelyard.desired.replicas import check_scaling, decided_replicas, effective_replicas, pools
from modelyard.integrations.signals.engine_pod import EnginePod, Signals
from modelyard.observe.facts.autoscalers import foreign_autoscalers
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.facts.raw_object import number, text
from modelyard.observe.facts.service import deployment_facts
from modelyard.observe.target import ScalingReport
from modelyard.scaling.decision import Change, Decision
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Capacity, Observation

ROUND_LIMIT_S = 60.0

RESTORED = timedelta(minutes=1)
"""How soon a number is written again that another writer keeps replacing: what runs does not depend on it."""

EXPIRED = timedelta(minutes=2)
"""How long Deployments may differ from what was decided, before decisions go on from what they have."""

TARGET_NOT_APPLIED = "TargetNotApplied"
"""Why capacity is limited then."""

WRITES_AT_ONCE = 16

logger = logging.getLogger(__name__)

Decide = Callable[[Scaling, Memory, Observation], tuple[Decision, Memory]]


@dataclass
class Tracked:
    """What is remembered of a service. ``unlike_since``: since when its Deployments differ from what was decided."""

    memory: Memory
    reported: Reported | None
    decision: Decision | None = None
    restored_at: datetime | None = None
    unlike_since: datetime | None = None


class Autoscaler:
    """``services`` are those of this installation, ``signals`` are the sources of metrics by the name that
    spec.scaling.source has for them, ``wake`` has a service reconciled. ``now`` gives the time in UTC.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        metrics: Metrics,
        settings: Settings,
        *,
        services: Callable[[], Iterable[Object]],
        signals: Mapping[str, Signals],
        decide: Decide,
        wake: Callable[[Key], None],
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._metrics = metrics
        self._settings = settings
        self._services = services
        self._signals = signals
        self._decide = decide
        self._wake = wake
        self._now = now
        self._tracked: dict[str, Tracked] = {}
        self._free = asyncio.Semaphore(WRITES_AT_ONCE)

    def report_of(self, uid: str) -> ScalingReport | None:
        """The last decision for the service of that uid; None before the first of this process."""
        tracked = self._tracked.get(uid)
        return tracked.reported.report if tracked and tracked.decision and tracked.reported else None

    def figures(self) -> Iterator[ScalingFigures]:
        """The last decision for each service, in figures."""
        for body in self._services():
            tracked = self._tracked.get(body["metadata"]["uid"])
            if tracked and tracked.decision and tracked.reported:
                yield _figures(body, tracked.decision, tracked.reported.report)

    def forget(self) -> None:
        """Another process may decide from now on: what it decided is in the services' status."""
        self._tracked.clear()

    async def round(self) -> None:
        """Decide for every service, and write what changed. What fails is decided anew in the next round."""
        services: dict[str, Seen] = {}
        for body in self._services():
            if seen := self._scaled(body):
                services[seen.service.uid] = seen
                await asyncio.sleep(0)  # a thousand looks and decisions must not hold up the reconciles
        self._tracked = {uid: tracked for uid, tracked in self._tracked.items() if uid in services}
        samples = await self._read(services.values())
        async with asyncio.TaskGroup() as group:  # which ends with the round, where that is interrupted
            for seen in services.values():
                group.create_task(self._scale(seen, samples))
                await asyncio.sleep(0)

    async def _read(self, services: Iterable[Seen]) -> Samples:
        """What the engines report, each read from the source of its service."""
        pods: dict[str, list[EnginePod]] = {source: [] for source in self._signals}
        for seen in services:
            assert seen.service.spec.scaling
            pods[seen.service.spec.scaling.source] += engine_pods(seen)
        found = await asyncio.gather(*(signals.read(pods[source]) for source, signals in self._signals.items()))
        return {uid: sample for readings in found for uid, sample in readings.items()}

    def _scaled(self, body: Object) -> Seen | None:
        """What the cache holds of the service in ``body``; None where nothing is to be decided for it."""
        if (body.get("spec") or {}).get("scaling") is None:
            return None
        try:
            service = parse(body)
            check_scaling(service.spec, self._settings)
        except InvalidError:
            return None  # the reconcile reports it
        return None if service.paused or service.deleting else self._seen(service, body)

    def _seen(self, service: Service, body: Object) -> Seen | None:
        """None before the service has a Deployment, without which nothing can follow a decision."""
        key = service.key
        found = (
            self._cache.get(kinds.DEPLOYMENT, Key(key.namespace, deployment_name(key.name, p))) for p in pools(service)
        )
        deployments = tuple(deployment for deployment in found if deployment)
        if not deployments:
            return None
        pods = tuple((raw, pod_facts(raw)) for raw in self._cache.pods(key))
        hosts = {pod.node for _, pod in pods if pod.node} if self._cache.all_of(kinds.NODE) else set()
        return Seen(
            service=service,
            body=body,
            pods=pods,
            deployments=deployments,
            nodes={node: self._cache.get(kinds.NODE, Key("", node)) for node in hosts},
            replicas=effective_replicas(service, _running(deployments)),
            startup_timeout_s=number(service.status, "effective", "startupTimeoutSeconds")
            or service.spec.startup.timeout_seconds
            or self._settings.startup_timeout_s,
        )

    async def _scale(self, seen: Seen, samples: Samples) -> None:
        with log.service(str(seen.service.key)):
            try:
                await self._decide_and_write(seen, samples)
            except (NotLeadingError, NotFoundError, ConflictError):
                return  # it is gone, or another by now, or another process decides: the next round sees it
            except ApiError as error:
                logger.warning("not scaled", extra={"error": str(error)})
            except Exception:
                # A defect of ours in one service's case must not end the work on all others.
                logger.exception("not scaled")

    async def _decide_and_write(self, seen: Seen, samples: Samples) -> None:
        """Raises ApiError where the decision cannot be written; it is made anew then."""
        scaling, uid = seen.service.spec.scaling, seen.service.uid
        assert scaling is not None
        tracked = self._tracked.get(uid) or _restored(seen.service, scaling)
        look = self._expired(seen, tracked, observation(seen, samples, self._now()))
        decision, memory = self._decide(scaling, tracked.memory, look)
        async with self._free:
            await self._write(seen, tracked, decision)
        self._note(seen, tracked, look, decision, memory)

    def _note(self, seen: Seen, tracked: Tracked, look: Observation, decision: Decision, memory: Memory) -> None:
        """Remember a decision that is written, and have it reported if that is news."""
        scaling, key = seen.service.spec.scaling, seen.service.key
        assert scaling is not None
        changes = memory.changes
        if scaling.mode == "Auto" and decision.desired != look.current:
            changes = (*changes, Change(look.now_s, look.current, decision.desired, decision.reason))
            if tracked.decision is None or tracked.decision.desired != decision.desired:
                self._metrics.scaled(look.current, decision.desired)
                about = {"from": look.current, "to": decision.desired, "reason": decision.reason}
                logger.info("scaled", extra={**about, "because_of": decision.message})
        before = tracked.reported
        tracked.memory, tracked.decision = memory, decision
        tracked.reported = report(scaling, look, decision, changes, before)
        self._tracked[seen.service.uid] = tracked
        if tracked.reported is not before:
            self._wake(key)

    async def _write(self, seen: Seen, tracked: Tracked, decision: Decision) -> None:
        """Have ``decision`` in spec.replicas, with the costs of pods that go. Raises ApiError."""
        service = seen.service
        if service.spec.scaling is None or service.spec.scaling.mode == "Recommend":
            return
        removed = seen.replicas - decision.desired
        if removed > 0:
            await self._write_costs(seen, decision, removed)
        if service.spec.replicas == decision.desired:
            return
        if decision.desired == decided_replicas(service):
            if not self._may_restore(service, tracked):
                return
            tracked.restored_at = self._now()
        await self._cluster.scale(self._same(seen), decision.desired)

    def _same(self, seen: Seen) -> Object:
        """The service as it is now. Raises ConflictError where its spec is another than was decided for."""
        body = self._cache.get(kinds.INFERENCE_SERVICE, seen.service.key)
        if body is None or body["metadata"]["uid"] != seen.service.uid or body["spec"] != seen.body["spec"]:
            raise ConflictError(409, "Conflict", "the spec has changed", call=f"scale {seen.service.key}")
        return body

    def _may_restore(self, service: Service, tracked: Tracked) -> bool:
        """Whether to replace the number of another writer, that changes nothing of what runs. Not that of another
        autoscaler, which would write it again: the status reports it.
        """
        others = self._cache.autoscalers(service.key)
        if foreign_autoscalers(others, service.key.name, (), is_scaled=True):
            return False
        return tracked.restored_at is None or self._now() - tracked.restored_at >= RESTORED

    async def _write_costs(self, seen: Seen, decision: Decision, removed: int) -> None:
        for pod, cost in cost_changes(seen.pods, decision.idlest, removed).values():
            place = Key(seen.service.key.namespace, pod.name)
            try:
                await self._cluster.annotate(kinds.POD, place, pod.uid, {ANNOTATION: cost})
            except (NotFoundError, ConflictError):
                continue  # it went on its own

    def _expired(self, seen: Seen, tracked: Tracked, look: Observation) -> Observation:
        """The look, with what the Deployments have where they have not followed for EXPIRED."""
        now, running = self._now(), _running(seen.deployments)
        if running == seen.replicas:
            tracked.unlike_since = None
            return look
        tracked.unlike_since = tracked.unlike_since or now
        if now - tracked.unlike_since < EXPIRED:
            return look
        why = _why_unlike(seen.service.status)
        message = f"{seen.replicas} replicas were decided on, but the Deployment still has {running}{why}"
        return replace(look, current=running, capacity=Capacity(running, TARGET_NOT_APPLIED, message))


def _why_unlike(status: Object) -> str:
    conditions = status.get("conditions") or ()
    accepted = next((c for c in conditions if c.get("type") == "Accepted" and c.get("status") == "False"), None)
    return f": {text(accepted, 'message')}" if accepted else "."


def _restored(service: Service, scaling: Scaling) -> Tracked:
    """What another process, or a former one, left of a service in its status."""
    current = number(service.status, "scaling", "current") if decided_replicas(service) is not None else None
    changes = changes_in(service.status)
    last = changes[-1].after if changes and decided_replicas(service) is not None else current
    return Tracked(Memory.restored(changes, last), stored(service.status, scaling))


def _running(deployments: Iterable[Object]) -> int:
    return sum(deployment_facts(body).replicas for body in deployments)


def _figures(body: Object, decision: Decision, reported: ScalingReport) -> ScalingFigures:
    metadata, status = body["metadata"], reported.status
    replicas: Mapping[str, int | None] = {
        "current": status.current,
        "desired": decision.desired,
        "wanted": decision.wanted,
        "maximum": reported.maximum,
        "achievable": status.achievable,
    }
    known = {kind: count for kind, count in replicas.items() if count is not None}
    return ScalingFigures(metadata["namespace"], metadata["name"], known, unknown=len(decision.unknown))
