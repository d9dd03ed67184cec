"""Scales services: each round looks at every service with spec.scaling, decides, and writes what changed.

A decision goes to ``spec.replicas`` first, by the scale subresource, and then with the report into the status, which
the reconcile writes: only with both does a number fall (desired/replicas.py). So a process may end anywhere between.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelyard.api.scaling import Scaling
from modelyard.api.service import Key, Object, Service
from modelyard.api.settings import Settings
from modelyard.controller import log
from modelyard.controller.autoscaler.gather import seen_of
from modelyard.controller.autoscaler.observation import Samples, Seen, engine_pods, observation
from modelyard.controller.autoscaler.reading import Sources
from modelyard.controller.autoscaler.report import Reported, changes_in, report, stored
from modelyard.controller.autoscaler.writer import Writer
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, ConflictError, NotFoundError, NotLeadingError
from modelyard.controller.metrics import Metrics, ScalingFigures
from modelyard.desired.replicas import decided_replicas
from modelyard.integrations.signals.engine_pod import EnginePod, Signals
from modelyard.observe.facts.raw_object import number, text
from modelyard.observe.target import ScalingReport
from modelyard.scaling.decision import Change, Decision
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Capacity, Observation

ROUND_LIMIT_S = 60.0

EXPIRED = timedelta(minutes=2)
"""How long Deployments may differ from what was decided, before decisions go on from what they have."""

TARGET_NOT_APPLIED = "TargetNotApplied"
"""Why capacity is limited then."""

SCALE_REFUSED = "ScaleRefused"
"""Reason of a decision that the API server, by an admission check, refuses."""

REFUSALS = frozenset({400, 403, 422})

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
        self._cache = cache
        self._metrics = metrics
        self._settings = settings
        self._services = services
        self._sources = Sources(signals)
        self._decide = decide
        self._wake = wake
        self._now = now
        self._tracked: dict[str, Tracked] = {}
        self._writer = Writer(cluster, cache, now)
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
            if seen := seen_of(body, self._cache, self._settings):
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
        pods: dict[str, list[EnginePod]] = {source: [] for source in self._sources.names}
        for seen in services:
            assert seen.service.spec.scaling
            pods[seen.service.spec.scaling.source] += engine_pods(seen)
        return await self._sources.read(pods)

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
        try:
            async with self._free:
                tracked.restored_at = await self._writer.write(seen, look, decision, tracked.restored_at)
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            why = f"{decision.message} The API server rejected {decision.desired} replicas: {error.message}."
            decision = replace(decision, desired=look.current, reason=SCALE_REFUSED, message=why)
            memory = replace(memory, proposed=None)
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

    def _expired(self, seen: Seen, tracked: Tracked, look: Observation) -> Observation:
        """The look, with what the Deployments have where they have not followed for EXPIRED."""
        now, running = self._now(), seen.running
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
