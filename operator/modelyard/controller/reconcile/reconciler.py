"""What happens for one service, from its object to its status: the table of contents of the operator.

Level-triggered: each call starts from what is there and brings it nearer to what is asked, so it may be called at any
time and as often as anyone likes, and be cut off anywhere.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.conditions import Explanation
from modelyard.api.kinds import Kind
from modelyard.api.reasons import Reasons
from modelyard.api.service import Key, Object, Service, parse
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.contract.errors import InvalidError, NotReadyError
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import Cluster
from modelyard.controller.reconcile.children import Adopted, Children, Contested, DoneByOthers, ObstacleError
from modelyard.controller.reconcile.content_pins import Revisions
from modelyard.controller.reconcile.observer import Observer, ReadFetchState, ReadIndex
from modelyard.controller.reconcile.reporter import Reporter
from modelyard.desired import desired, prefetch_job
from modelyard.desired.profile_defaults import Offer, named
from modelyard.desired.refresh import Update, update
from modelyard.desired.resolve import resolve
from modelyard.desired.resolved import Resolved
from modelyard.desired.template_record import recorded
from modelyard.observe.facts import service as observed
from modelyard.observe.prefetch_plan import Plan, plan
from modelyard.observe.status import ServiceEvent, Verdict, status, status_of_unreadable
from modelyard.observe.target import Wanted

OUTDATED_WAIT_S = 1.0
"""Time until another look at a service that changed while it was looked at."""


@dataclass
class Attempt:
    """How far a reconcile came with the children of a service, and what kept it from going on, if anything did.

    ``wanted`` is what shall run, None where that cannot be told or is not brought about; ``prefetch`` is what shall be
    done for the nodes that are to have the model ahead of the pods.
    """

    service: Service | None = None
    wanted: Wanted | None = None
    prefetch: Plan | None = None
    done_by_others: tuple[DoneByOthers, ...] = ()
    problem: InvalidError | NotReadyError | None = None


class Reconciler:
    """Reconciles one key at a time; several calls may run side by side as long as their keys differ.

    ``read_fetch_state`` asks a pod's fetcher by its address, ``read_index`` a pod's repository of models by its address
    with port, ``now`` gives the time in UTC, ``instance`` names this process in the events it writes.
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
        instance: str,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._cache = cache
        self._children = Children(cluster, cache)
        self._revisions = Revisions(cluster, cache)
        self._observer = Observer(
            settings, cluster, cache, read_fetch_state=read_fetch_state, read_index=read_index, now=now
        )
        self._reporter = Reporter(cluster, cache, now, instance)
        self._now = now

    async def reconcile(self, key: Key) -> float | None:
        """Bring the service ``key`` nearer to what it asks, and say in its status how far it is.

        Returns after how many seconds to look again though nothing is heard of it, None if there is no need.
        Raises ApiError when the API server fails; the caller tries again later.
        """
        body = self._cache.get(kinds.INFERENCE_SERVICE, key)
        if body is None:
            return None  # deleted: the garbage collector follows the children's owner references

        attempt = await self._attempt(key, body)
        resource = attempt.wanted.devices.resource if attempt.wanted else None
        facts = await self._observer.facts(key, body["metadata"]["uid"], resource=resource, prefetch=attempt.prefetch)
        verdict = self._verdict(body, attempt, facts)
        if not await self._reporter.write_status(body, verdict.status):
            return OUTDATED_WAIT_S  # the watch mostly tells of the change sooner
        await self._reporter.tell(body, [*map(_answer, attempt.done_by_others), *verdict.events])
        return _look_again_s(verdict, attempt)

    async def _attempt(self, key: Key, body: Object) -> Attempt:
        """Bring the children in line with the spec, until there is a problem."""
        reached = Attempt()
        try:
            await self._bring_about(key, body, reached)
        except (InvalidError, NotReadyError) as problem:
            reached.problem = problem
        return reached

    async def _bring_about(self, key: Key, body: Object, reached: Attempt) -> None:
        service = reached.service = parse(body)
        deployment = await self._children.existing(kinds.DEPLOYMENT, key)
        profile = await self._profile(service, is_first=deployment is None)
        resolved = resolve(service, self._settings, recorded(deployment), profile)
        if service.paused:
            return
        asked = prefetch_job.asked(resolved)
        reached.prefetch = plan(asked, self._observer.prefetching(service), self._now()) if asked else None
        round_ = reached.prefetch.round if reached.prefetch else None
        children = desired(replace(resolved, contents=await self._revisions.contents(resolved), round=round_))
        reached.wanted = _wanted(resolved, children, update(service, resolved, self._settings, profile))
        if service.deleting:
            return
        reached.done_by_others = await self._children.bring_about(service, children, deployment, self._now())
        if deployment is not None and observed.wants_retry(deployment, self._now()):
            await self._children.retry_refused_pods(deployment, self._now())

    def _verdict(self, body: Object, attempt: Attempt, facts: observed.Facts) -> Verdict:
        if attempt.service is None:
            assert isinstance(attempt.problem, InvalidError), "what keeps a body from being parsed is invalid"
            return status_of_unreadable(body, attempt.problem, facts, self._now())
        return status(
            attempt.service,
            attempt.wanted,
            attempt.problem,
            facts,
            self._now(),
            prefetch=attempt.prefetch,
            contested=_contested(attempt.done_by_others),
        )

    async def _profile(self, service: Service, *, is_first: bool) -> Offer | None:
        """The profile that is named for the service, and what there is of that name.

        Before the first pods it is asked for now: a watch that is late by a moment would have them made without it.
        """
        look = self._cluster.get if is_first else self._cached
        chosen = named(service, await look(kinds.NAMESPACE, Key("", service.key.namespace)), self._settings)
        if chosen is None:
            return None
        known = tuple(body["metadata"]["name"] for body in self._cache.all_of(kinds.SERVING_PROFILE))
        return Offer(chosen, await look(kinds.SERVING_PROFILE, Key("", chosen.name)), known)

    async def _cached(self, kind: Kind, place: Key) -> Object | None:
        return self._cache.get(kind, place)


def _wanted(resolved: Resolved, children: list[Object], available: Update) -> Wanted:
    """What the status needs to know of a resolved spec."""
    deployment = next(child for child in children if kinds.of(child) == kinds.DEPLOYMENT)
    key = resolved.service.key
    return Wanted(
        replicas=resolved.replicas,
        template=deployment["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_TEMPLATE],
        devices=resolved.accelerator.devices,
        startup_timeout_s=resolved.startup_timeout_s,
        url=f"http://{key.name}.{key.namespace}.svc",
        effective=resolved.effective(),
        refresh_changes=available.changes,
        refresh_refusal=available.refusal,
    )


def _look_again_s(verdict: Verdict, attempt: Attempt) -> float | None:
    after_s = [verdict.requeue_after_s]
    after_s += [attempt.problem.after_s] if isinstance(attempt.problem, ObstacleError) else []
    after_s += [each.look_again_s for each in attempt.done_by_others if isinstance(each, Contested)]
    return min((seconds for seconds in after_s if seconds is not None), default=None)


def _contested(done: Iterable[DoneByOthers]) -> Explanation | None:
    """What the status says of a child that somebody else keeps changing."""
    found = next((each for each in done if isinstance(each, Contested)), None)
    return Reasons.CONTESTED.explain(child=f"{found.kind} {found.name}", field=found.field) if found else None


def _answer(done: DoneByOthers) -> ServiceEvent:
    """The event that tells what became of something that others did to a child."""
    child = f"{done.kind} {done.name}"
    if isinstance(done, Contested):
        why = Reasons.CONTESTED.explain(child=child, field=done.field)
        return ServiceEvent("Warning", why.reason, why.message)
    if isinstance(done, Adopted):
        return ServiceEvent("Normal", "Adopted", f"{child} had this service's labels and no owner; adopted.")
    return ServiceEvent(
        "Warning",
        "Repaired",
        f"Reverted another writer's change to {done.field} of {child}. Change the InferenceService instead; "
        "autoscalers must target it too.",
    )
