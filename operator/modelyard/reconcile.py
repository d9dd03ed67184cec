"""What happens for one service, from its object to its status: the table of contents of the operator.

Level-triggered: each call starts from what is there and brings it nearer to what is asked, so it may be called at any
time and as often as anyone likes, and be cut off anywhere.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from modelyard import kinds, names
from modelyard.api.conditions import Explanation
from modelyard.api.reasons import Reasons
from modelyard.api.service import Key, Object, Service, parse
from modelyard.cache import Cache
from modelyard.children import Adopted, Children, Contested, DoneByOthers, ObstacleError
from modelyard.cluster import ApiError, Cluster, ConflictError, NotFoundError
from modelyard.desired import desired, prefetch
from modelyard.desired.inputs import recorded
from modelyard.desired.profile import Offer, named
from modelyard.desired.resolve import resolve
from modelyard.desired.resolved import Resolved
from modelyard.desired.update import Update, update
from modelyard.errors import InvalidError, NotReadyError
from modelyard.events import EventFilter, event
from modelyard.kinds import Kind
from modelyard.node_drivers import NodeDrivers
from modelyard.node_usage import NodeUsage
from modelyard.observe import children as observed
from modelyard.observe.node_cache import nodes_in_doubt
from modelyard.observe.prefetch import Plan, Present, job_for, plan, pods_of
from modelyard.observe.status import ServiceEvent, Verdict, status, status_of_unreadable
from modelyard.observe.wanted import Wanted
from modelyard.ownership import Ownership, ownership
from modelyard.prefetching import job_of
from modelyard.revisions import Revisions
from modelyard.settings import Settings
from modelyard.signals.fetch_state import FetchState
from modelyard.signals.repository_index import Index

logger = logging.getLogger(__name__)

OUTDATED_WAIT_S = 1.0
"""Time until another look at a service that changed while it was looked at."""

ReadFetchState = Callable[[str], Awaitable[FetchState | None]]
ReadIndex = Callable[[str], Awaitable[Index | None]]


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
        self._node_usage = NodeUsage(cluster, now, sees_all=not settings.namespaces)
        self._node_drivers = NodeDrivers(
            cluster, cache, agents_namespace=None if settings.namespaces else settings.operator_namespace
        )
        self._read_fetch_state = read_fetch_state
        self._read_index = read_index
        self._now = now
        self._instance = instance
        self._event_filter = EventFilter()

    async def reconcile(self, key: Key) -> float | None:
        """Bring the service ``key`` nearer to what it asks, and say in its status how far it is.

        Returns after how many seconds to look again though nothing is heard of it, None if there is no need.
        Raises ApiError when the API server fails; the caller tries again later.
        """
        body = self._cache.get(kinds.INFERENCE_SERVICE, key)
        if body is None:
            return None  # deleted: the garbage collector follows the children's owner references

        attempt = await self._attempt(key, body)
        facts = await self._facts(key, body, attempt)
        verdict = self._verdict(body, attempt, facts)
        if not await self._write_status(body, verdict.status):
            return OUTDATED_WAIT_S  # the watch mostly tells of the change sooner
        await self._tell(body, [*map(_answer, attempt.done_by_others), *verdict.events])
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
        reached.prefetch = self._plan(service, resolved)
        round_ = reached.prefetch.round if reached.prefetch else None
        children = desired(replace(resolved, contents=await self._revisions.contents(resolved), round=round_))
        reached.wanted = _wanted(resolved, children, update(service, resolved, self._settings, profile))
        if service.deleting:
            return
        reached.done_by_others = await self._children.bring_about(service, children, deployment, self._now())
        if deployment is not None and observed.wants_retry(deployment, self._now()):
            await self._children.retry_refused_pods(deployment, self._now())

    def _plan(self, service: Service, resolved: Resolved) -> Plan | None:
        """What to do now for the nodes that are to have the model ahead of the pods; None where none are."""
        asked = prefetch.asked(resolved)
        if asked is None:
            return None
        present = Present(
            self._own(kinds.JOB, job_of(service.key), service.key, service.uid),
            self._cache.prefetch_pods(service.key),
            self._cache.pods(service.key),
            self._cache.all_of(kinds.NODE),
            service.status.get("prefetch"),
            writes_labels=not self._settings.namespaces,
        )
        return plan(asked, present, self._now())

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

    async def _facts(self, key: Key, body: Object, attempt: Attempt) -> observed.Facts:
        """What is there now: from the cache, and what only fetchers, repositories and pods' Events can tell."""
        children = self._seen(key, body["metadata"]["uid"], attempt.prefetch)
        asked = observed.questions(children, self._now())
        resource = attempt.wanted.accelerator_resource if attempt.wanted else None
        states = await asyncio.gather(*(self._read_fetch_state(address) for address in asked.fetchers.values()))
        indexes = await asyncio.gather(*(self._read_index(address) for address in asked.indexes.values()))
        lists = (self._cluster.list_events(key.namespace, about) for about in asked.events.values())
        events = dict(zip(asked.events, await asyncio.gather(*lists), strict=True))
        return observed.facts(
            children,
            fetch_states=dict(zip(asked.fetchers, states, strict=True)),
            indexes=dict(zip(asked.indexes, indexes, strict=True)),
            events=events,
            hosts=self._hosts(asked.hosts),
            nodes=self._cache.all_of(kinds.NODE) if asked.nodes else None,
            accelerator_resource=resource,
            taken=await self._node_usage.taken(asked.refused_since) if asked.nodes and resource else None,
            registered=await self._node_drivers.registered(
                nodes_in_doubt((*children.pods, *children.prefetch_pods), events)
            ),
        )

    def _hosts(self, names_: Iterable[str]) -> dict[str, Object | None]:
        """These nodes; none at all while no node is known, as in a cluster whose nodes are not shown to us."""
        found = {name: self._cache.get(kinds.NODE, Key("", name)) for name in names_}
        return found if any(found.values()) or self._cache.all_of(kinds.NODE) else {}

    def _seen(self, key: Key, uid: str, prefetch_plan: Plan | None) -> observed.Children:
        deployment = self._own(kinds.DEPLOYMENT, key, key, uid)
        job = self._own(kinds.JOB, job_of(key), key, uid)
        present = job_for(prefetch_plan.asked, job) if prefetch_plan else None
        return observed.Children(
            deployment, self._cache.pods(key), present, pods_of(present, self._cache.prefetch_pods(key))
        )

    def _own(self, kind: Kind, place: Key, service: Key, uid: str) -> Object | None:
        """The child at ``place``, if it is the service's."""
        child = self._cache.get(kind, place)
        return child if child and ownership(child, service.name, uid) is Ownership.OURS else None

    async def _write_status(self, body: Object, new: Object) -> bool:
        """Store the status if it differs. Returns whether it could be: not when the service has changed meanwhile."""
        if new == (body.get("status") or {}):
            return True
        try:
            written = await self._cluster.patch_status(body, new)
        except (NotFoundError, ConflictError):
            return False
        self._cache.upsert(kinds.INFERENCE_SERVICE, written)
        _log_transition(body.get("status") or {}, new)
        return True

    async def _tell(self, about: Object, events: Iterable[ServiceEvent]) -> None:
        """Create the events. One that cannot be created is lost: the status has said the same."""
        for told in events:
            now = self._now()  # each its own: events are named by their time
            if not self._event_filter.lets_pass(about["metadata"]["uid"], told.reason, told.message, now):
                continue
            try:
                await self._cluster.create_event(
                    event(about, told.type, told.reason, told.message, instance=self._instance, now=now)
                )
            except ApiError as error:
                if error.is_of_terminating_namespace:
                    return  # the events there go with it
                logger.warning("event lost", extra={"reason": told.reason, "error": str(error)})


def _wanted(resolved: Resolved, children: list[Object], available: Update) -> Wanted:
    """What the status needs to know of a resolved spec."""
    deployment = next(child for child in children if kinds.of(child) == kinds.DEPLOYMENT)
    key = resolved.service.key
    return Wanted(
        replicas=resolved.replicas,
        template=deployment["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_TEMPLATE],
        accelerator_resource=resolved.accelerator.resource,
        accelerator_count=resolved.accelerator.count,
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
        return ServiceEvent("Normal", "Adopted", f"{child} carried this service's labels and had no owner: taken in.")
    return ServiceEvent(
        "Warning",
        "Repaired",
        f"Somebody else changed {done.field} of {child}: set back. Change the InferenceService instead; an autoscaler, "
        "too, has to name it as its target.",
    )


def _log_transition(old: Object, new: Object) -> None:
    """One line, with the cause, when Ready or Accepted changes; progress inside a reason is no decision."""
    before, after = (_condition(status_, "Ready") for status_ in (old, new))
    accepted_before, accepted = (_condition(status_, "Accepted") for status_ in (old, new))
    if any(
        (one["status"], one["reason"]) != (other["status"], other["reason"])
        for one, other in ((before, after), (accepted_before, accepted))
    ):
        said = {"ready": after["status"], "reason": after["reason"], "because_of": after["message"]}
        logger.info("status changed", extra=said | {"before": before["reason"], "accepted": accepted["reason"]})


def _condition(status_: Object, type_: str) -> Object:
    conditions: Sequence[Object] = status_.get("conditions") or ()
    nothing = {"status": "Unknown", "reason": "", "message": ""}
    return next((condition for condition in conditions if condition["type"] == type_), nothing)
