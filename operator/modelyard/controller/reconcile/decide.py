"""The plan for one service, and the status that follows: pure.

``decide`` with nothing applied is what a dry run shows: the children, the deletions, and by ``outcome`` the status and
the events that would come of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from modelyard.api import kinds
from modelyard.api.conditions import Explanation
from modelyard.api.kinds import Kind
from modelyard.api.reasons import Reasons
from modelyard.api.service import Key, Object, Service, key_of
from modelyard.contract.errors import InvalidError, NotReadyError
from modelyard.controller.cluster.protocol import ApiError
from modelyard.controller.reconcile.drift import edited_field, is_as_rendered
from modelyard.controller.reconcile.intent import Intent
from modelyard.controller.reconcile.ownership import Ownership, ownership
from modelyard.controller.reconcile.revert_limits import PACE, History
from modelyard.desired.metadata import pool_of
from modelyard.observe.assessment import Assessment
from modelyard.observe.facts.autoscalers import ForeignAutoscaler
from modelyard.observe.facts.service import Facts, wants_retry
from modelyard.observe.status import ServiceEvent, StatusUpdate, status
from modelyard.observe.target import PrefetchReport, ScalingReport
from modelyard.prefetch import status as prefetch_status

PREDECESSOR_WAIT_S = 2.0
"""Time until another look at a child that the garbage collector is about to remove; it mostly takes less than one."""

AT_ONCE_S = 0.0
"""Time until another look once a scaling decision is in the status, by which alone it takes effect."""

Place = tuple[Kind, Key]


class ObstacleError(InvalidError):
    """The user must act outside the spec, where no watch of ours sees it: look again in ``after_s`` seconds."""

    after_s = 30.0


@dataclass(frozen=True)
class Observed:
    """All that was read of one service. ``service`` is None where ``body``, its object, cannot be parsed.

    ``existing`` is what has the names of the intended children, of any owner, None for nothing; ``related`` are the
    objects that a label or an owner reference ties to the service; ``reverts`` are the latest ones of its children.
    ``facts`` are None where they could not be read, for the cause ``unread``: children are applied all the same, and
    the status waits. ``scaling`` is the last decision of automatic scaling in this process, ``foreign`` are the
    autoscalers of others; ``overruled`` is that another writer set spec.replicas, ``kept`` that a number is to be
    written there before anything else is done.
    """

    body: Object
    service: Service | None
    intent: Intent
    now: datetime
    facts: Facts | None
    unread: ApiError | None = None
    existing: Mapping[Place, Object | None] = field(default_factory=dict)
    related: tuple[Object, ...] = ()
    reverts: Mapping[Place, History] = field(default_factory=dict)
    scaling: ScalingReport | None = None
    foreign: tuple[ForeignAutoscaler, ...] = ()
    overruled: "Overruled | None" = None
    kept: "Kept | None" = None


@dataclass(frozen=True)
class Overruled:
    """spec.replicas of a service that is scaled automatically, as another ``writer`` set it; what runs is ``kept``."""

    writer: str
    replicas: int
    kept: int


@dataclass(frozen=True)
class Kept:
    """The number of ``replicas`` that the service ``body`` keeps, although what scaled it and its own number went at
    once.
    """

    body: Object
    replicas: int


@dataclass(frozen=True)
class Adopted:
    """A child without owner that is made the service's own."""

    kind: str
    name: str


@dataclass(frozen=True)
class Reverted:
    """A child whose ``field`` others had changed, and that is reverted."""

    kind: str
    name: str
    field: str


@dataclass(frozen=True)
class Contested:
    """A child whose ``field`` others change again and again; in ``look_again_s`` there is more to do."""

    kind: str
    name: str
    field: str
    look_again_s: float


ExternalChange = Adopted | Reverted | Contested


@dataclass(frozen=True)
class Write:
    """A child to apply. ``found`` is what has its name, None for nothing; ``edited`` is the field of it that others
    had changed; with ``replaces`` it can never become the child, and has to go first.
    """

    child: Object
    found: Object | None
    edited: str = ""
    replaces: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order: ``writes``, ``deletions``, ``retries``, which are Deployments whose
    controllers are to try again to make pods. ``problem`` is why nothing is.

    ``external_changes`` are what others did to the children.
    """

    observed: Observed
    writes: tuple[Write, ...] = ()
    deletions: tuple[Object, ...] = ()
    retries: tuple[Object, ...] = ()
    external_changes: tuple[ExternalChange, ...] = ()
    problem: InvalidError | NotReadyError | None = None

    @property
    def children(self) -> tuple[Object, ...]:
        """All desired children, including those that need no write."""
        return self.observed.intent.children


@dataclass(frozen=True)
class Done:
    """What came of a plan. ``written`` are objects as the API server answered; ``problem`` is what stopped the rest."""

    written: tuple[Object, ...] = ()
    problem: InvalidError | NotReadyError | None = None


NOTHING = Done()


def place_of(child: Object) -> Place:
    """Kind, namespace and name."""
    return kinds.of(child), key_of(child)


def decide(observed: Observed) -> Plan:
    """What is to be done. Never raises: what forbids it is the plan's problem."""
    intent, service = observed.intent, observed.service
    if service is None or intent.problem or service.paused or service.deleting:
        return Plan(observed, problem=intent.problem)
    pairs = [(child, observed.existing[place_of(child)]) for child in intent.children]
    try:
        for _, found in pairs:
            if found is not None:
                _check_ownership(found, service)
    except (InvalidError, NotReadyError) as problem:
        return Plan(observed, problem=problem)
    writes = [
        Write(child, found, *_difference(child, found))
        for child, found in pairs
        if found is None or not is_as_rendered(child, found)
    ]
    return Plan(
        observed,
        writes=tuple(write for write in writes if not _is_left(write, observed)),
        deletions=tuple(_unwanted(observed, service)),
        retries=tuple(
            found
            for child, found in pairs
            if kinds.of(child) == kinds.DEPLOYMENT and found and wants_retry(found, observed.now)
        ),
        external_changes=tuple(_external_changes(observed, service, writes)),
    )


def outcome(plan: Plan, done: Done = NOTHING) -> StatusUpdate:
    """What the status becomes once the plan came to ``done``; without that, as if nothing of it were refused.

    Raises ApiError where the facts could not be read.
    """
    observed = plan.observed
    if observed.facts is None:
        assert observed.unread is not None
        raise observed.unread
    problem = plan.problem or done.problem
    changes = () if problem else plan.external_changes
    contested = [change for change in changes if isinstance(change, Contested)]
    update = status(
        Assessment(
            observed.body,
            observed.intent.target,
            problem,
            observed.facts.after(_deployments(observed.body, done.written)),
            observed.now,
            contested=_conflict(contested[0]) if contested else None,
            prefetch=_prefetch_report(observed, observed.facts),
            scaling=observed.scaling,
            foreign=observed.foreign,
            writer=observed.overruled.writer if observed.overruled else "",
        )
    )
    waits_s = [update.requeue_after_s, *(change.look_again_s for change in contested)]
    waits_s += [AT_ONCE_S] if _decided(update.status) != _decided(observed.body.get("status") or {}) else []
    waits_s += [problem.after_s] if isinstance(problem, ObstacleError) else []
    return StatusUpdate(
        update.status,
        (*map(_event, changes), *_overruled(observed.overruled), *update.events),
        min((wait_s for wait_s in waits_s if wait_s is not None), default=None),
    )


def _prefetch_report(observed: Observed, facts: Facts) -> PrefetchReport | None:
    plan = observed.intent.prefetch
    return prefetch_status.report(plan, facts, key_of(observed.body), observed.now) if plan else None


def _check_ownership(found: Object, service: Service) -> None:
    """Raises ObstacleError or NotReadyError if the service may not write ``found``."""
    whose = ownership(found, service.key.name, service.uid)
    what = f"{found['kind']} {found['metadata']['name']}"
    if whose is Ownership.FOREIGN:
        raise ObstacleError(
            "NameTaken",
            f"{what} already exists in namespace {service.key.namespace} and is owned by something else; modelyard "
            "will not touch it. Delete or rename it, or rename the InferenceService.",
        )
    if whose is Ownership.PREVIOUS:
        raise NotReadyError(
            "PredecessorTerminating",
            f"{what} of a deleted InferenceService with the same name is about to be removed. If it stays, check its "
            f"finalizers: kubectl -n {service.key.namespace} get {found['kind'].lower()} {found['metadata']['name']} "
            "-o yaml.",
            PREDECESSOR_WAIT_S,
        )


def _difference(child: Object, found: Object | None) -> tuple[str, bool]:
    """The field of ``found`` that others changed, and whether it can never become ``child``."""
    if found is None:
        return "", False
    edited = edited_field(child, found) or ""
    return edited, not edited and kinds.of(child) in kinds.IMMUTABLE


def _is_left(write: Write, observed: Observed) -> bool:
    """Whether the external change to the child stays for now: it was reverted too often."""
    return bool(write.edited) and bool(_reverts(write.child, observed).wait(observed.now))


def _reverts(child: Object, observed: Observed) -> History:
    return observed.reverts.get(place_of(child), History())


def _unwanted(observed: Observed, service: Service) -> Iterable[Object]:
    """The service's own children that are no longer desired, less those being deleted."""
    wanted = set(map(place_of, observed.intent.children))
    for found in observed.related:
        is_ours = ownership(found, service.key.name, service.uid) is Ownership.OURS
        if is_ours and place_of(found) not in wanted and "deletionTimestamp" not in found["metadata"]:
            yield found


def _external_changes(observed: Observed, service: Service, writes: Iterable[Write]) -> Iterable[ExternalChange]:
    """Changes of other writers to the children; for a contested child only that it is contested."""
    differing = {place_of(write.child): write for write in writes}
    others: list[ExternalChange] = []
    for child in observed.intent.children:
        kind, name = child["kind"], child["metadata"]["name"]
        write, history = differing.get(place_of(child)), _reverts(child, observed)
        if write and write.edited and not _is_left(write, observed):
            history = history.with_revert(write.edited, observed.now)
        if field_ := history.contested_field:
            again = history.wait(observed.now) or PACE
            yield Contested(kind, name, field_, again.total_seconds())
        elif write and write.found:
            if ownership(write.found, service.key.name, service.uid) is Ownership.ORPHAN:
                others.append(Adopted(kind, name))
            elif write.edited:
                others.append(Reverted(kind, name, write.edited))
    yield from others


def _deployments(body: Object, written: Iterable[Object]) -> dict[str, Object]:
    """The Deployments among what was ``written``, by pool."""
    service = body["metadata"]["name"]
    return {
        pool_of(service, child["metadata"]["name"]): child for child in written if kinds.of(child) == kinds.DEPLOYMENT
    }


def _decided(status_: Object) -> object:
    return (status_.get("scaling") or {}).get("desired")


def _overruled(found: Overruled | None) -> Iterable[ServiceEvent]:
    """An event that another writer's number is not what scaling decided on. A wake at zero is no conflict."""
    if found is None or found.kept == 0:
        return
    if found.replicas > found.kept:
        effect = "They run until the next scaling decision."
    else:
        effect = f"Scaling decides on the number, so {found.kept} run on."
    remedy = (
        "Leave spec.replicas out of the manifest that Argo CD, Flux or you apply. Where it has to stay, Argo CD "
        "needs it in ignoreDifferences and the sync option RespectIgnoreDifferences=true."
    )
    note = f"{found.writer} set spec.replicas to {found.replicas}. {effect} {remedy}"
    yield ServiceEvent("Warning", "ReplicasOverruled", note)


def _conflict(contested: Contested) -> Explanation:
    return Reasons.CONTESTED.explain(child=f"{contested.kind} {contested.name}", field=contested.field)


def _event(change: ExternalChange) -> ServiceEvent:
    child = f"{change.kind} {change.name}"
    if isinstance(change, Contested):
        why = _conflict(change)
        return ServiceEvent("Warning", why.reason, why.message)
    if isinstance(change, Adopted):
        return ServiceEvent("Normal", "Adopted", f"{child} had this service's labels and no owner; adopted.")
    return ServiceEvent(
        "Warning",
        "Repaired",
        f"Reverted another writer's change to {change.field} of {child}. Change the InferenceService instead; "
        "autoscalers must target it too.",
    )
