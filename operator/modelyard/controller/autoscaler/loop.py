"""Scales services: each round looks at every service with spec.scaling, decides, and writes what changed.

A decision goes to ``spec.replicas`` first, by the scale subresource, and then with the report into the status, which
the reconcile writes: only with both does a number fall (desired/replicas.py). So a process may end anywhere between.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.scaling import Scaling
from modelyard.api.service import Key, Object
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.controller import log
from modelyard.controller.autoscaler.expiry import EXPIRED, expired, is_unfollowed
from modelyard.controller.autoscaler.gather import seen_of
from modelyard.controller.autoscaler.observation import Samples, Seen, engine_pods, observation
from modelyard.controller.autoscaler.reading import Sources
from modelyard.controller.autoscaler.report import Reported, changes_in, report, stored
from modelyard.controller.autoscaler.unwritten import held, refused
from modelyard.controller.autoscaler.wake import wake_problem
from modelyard.controller.autoscaler.writer import Writer, Written
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ApiError, Cluster, ConflictError, NotFoundError, NotLeadingError
from modelyard.controller.metrics import Metrics, ScalingFigures
from modelyard.desired.replicas import decided_replicas, scaling_mode
from modelyard.integrations.signals.engine_pod import EnginePod, Signals
from modelyard.observe.facts.field_managers import replicas_writer
from modelyard.observe.facts.raw_object import number
from modelyard.observe.target import ScalingReport
from modelyard.scaling import reasons
from modelyard.scaling.decision import Change, Decision
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Observation

ROUND_LIMIT_S = 60.0

REFUSALS = frozenset({400, 403, 422})

WRITES_AT_ONCE = 16

logger = logging.getLogger(__name__)

Decide = Callable[[Scaling, Memory, Observation], tuple[Decision, Memory]]


@dataclass
class Tracked:
    """What is remembered of a service. ``written`` is what came of its last decision, ``unlike_since``: since when its
    Deployments do not follow what was decided.
    """

    memory: Memory
    reported: Reported | None
    decision: Decision | None = None
    written: Written = field(default_factory=Written)
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
        self._sources = Sources(signals)
        self._decide = decide
        self._wake = wake
        self._now = now
        self._tracked: dict[str, Tracked] = {}
        self._writer = Writer(cluster, cache, now)
        self._free = asyncio.Semaphore(WRITES_AT_ONCE)

    def report_of(self, body: Object) -> ScalingReport | None:
        """The last decision for the service in ``body``; None before the first of this process. One that was made
        before its scaling went, or had another mode, is forgotten: it must not return with scaling.
        """
        tracked = self._tracked.get(body["metadata"]["uid"])
        if tracked is None or tracked.reported is None:
            return None
        if scaling_mode(body) != tracked.reported.report.status.mode:
            tracked.reported = tracked.decision = None
        return tracked.reported.report if tracked.decision and tracked.reported else None

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
        tracked = self._tracked.get(uid) or await self._restored(seen, scaling)
        look = self._expired(seen, scaling, tracked, observation(seen, samples, self._now()))
        decision, memory = self._decide(scaling, tracked.memory, look)
        try:
            async with self._free:
                tracked.written = await self._writer.write(seen, look, decision, tracked.written)
        except ApiError as error:
            if error.status not in REFUSALS:
                raise
            decision = refused(decision, look, error.message)
            memory = replace(memory, proposed=None)
        else:
            if tracked.written.held is not None:
                decision = held(decision, look, tracked.written.holder, tracked.written.held)
                memory = replace(memory, proposed=None)
        if scaling_mode(self._cache.get(kinds.INFERENCE_SERVICE, seen.service.key)) == scaling.mode:
            self._note(seen, tracked, look, decision, memory)

    async def _restored(self, seen: Seen, scaling: Scaling) -> Tracked:
        """What another process, or a former one, left of a service: in its status, and in the number of replicas, if it
        ended before the status had that. Raises ApiError.
        """
        service, decided = seen.service, decided_replicas(seen.service)
        current = number(service.status, "scaling", "current") if decided is not None else None
        changes = changes_in(service.status)
        last = changes[-1].after if changes and decided is not None else current
        proposed = None
        if last is not None and decided not in {None, service.spec.replicas}:
            live = await self._cluster.get(kinds.INFERENCE_SERVICE, service.key)  # the cache has no field managers
            if live and replicas_writer(live) == names.SCALING_FIELD_MANAGER:
                reason = reasons.SCALING_UP if service.spec.replicas > last else reasons.SCALING_DOWN
                proposed = Change(self._now().timestamp(), last, service.spec.replicas, reason)
        return Tracked(Memory.restored(changes, last, proposed), stored(service.status, scaling))

    def _note(self, seen: Seen, tracked: Tracked, look: Observation, decision: Decision, memory: Memory) -> None:
        """Remember a decision that takes effect, and have it reported if that is news."""
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
        remark = wake_problem(seen.body, self._now())
        tracked.reported = report(scaling, look, decision, changes, before, remark=remark)
        self._tracked[seen.service.uid] = tracked
        if tracked.reported is not before:
            self._wake(key)

    def _expired(self, seen: Seen, scaling: Scaling, tracked: Tracked, look: Observation) -> Observation:
        """The look, with what the Deployments have where they have not followed for EXPIRED."""
        now = self._now()
        tracked.unlike_since = (tracked.unlike_since or now) if is_unfollowed(seen) else None
        if tracked.unlike_since is None or now - tracked.unlike_since < EXPIRED:
            return look
        return expired(seen, scaling.max_replicas, look)


def _figures(body: Object, decision: Decision, reported: ScalingReport) -> ScalingFigures:
    metadata, status = body["metadata"], reported.status
    replicas: Mapping[str, int | None] = {
        "current": status.current,
        "desired": decision.desired,
        "wanted": decision.wanted,
        "maximum": reported.maximum if status.mode == "Auto" else None,  # a recommendation is limited by nothing
        "achievable": status.achievable,
    }
    known = {kind: count for kind, count in replicas.items() if count is not None}
    return ScalingFigures(metadata["namespace"], metadata["name"], known, unknown=len(decision.unknown))
