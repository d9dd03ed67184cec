"""The status of an InferenceService: all of its conditions, decided in one place from what was observed.

How the conditions answer the questions of the person who reads them (api/reasons.py has their texts):

* Ready: does the model serve requests? True as long as one replica is ready, of the former configuration too: a
rollout that goes well, one that is stuck, and a refused spec change leave clients unaffected. The reason then is one
of Ready, RollingOut, Degraded and ServingPrevious.
* Accepted: is the spec applied?  * ModelCached: does the model lie where the pods are?
* Available: are all desired replicas ready?
* Progressing: is something under way? False with Complete, or with what holds it up; then Stalled is true too.
* UpdateAvailable: would a refresh change the pods? No problem, and no matter to Reconciling and Stalled.
* ScalingActive: do replicas follow demand? Absent without scaling, and no matter to Reconciling and Stalled either.

A paused service has Accepted unknown and Progressing false, both with Paused: nothing is applied, so neither
Reconciling nor Stalled is there. Ready is reported as usual.

At zero replicas Ready is false with ScaledToZero, and neither Reconciling nor Stalled is there: nothing is wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from modelyard.api.conditions import ConditionType, Explanation, Kind, condition
from modelyard.api.fields import ApiModel
from modelyard.api.reasons import Reasons
from modelyard.api.service import Object
from modelyard.api.status import Effective, PrefetchStatus
from modelyard.contract import names
from modelyard.contract.errors import NotReadyError
from modelyard.integrations.engines.version import UNKNOWN_VERSION
from modelyard.observe.assessment import Assessment, waited_for
from modelyard.observe.facts.pods import PodFacts, Stage, silent_since
from modelyard.observe.facts.raw_object import entries, readable, text
from modelyard.observe.facts.service import SILENCE_S
from modelyard.observe.model_status import differing_contents, fetch_news, model_status
from modelyard.observe.reasons.crash_loops import settling_s
from modelyard.observe.reasons.diagnosis import start_deadline
from modelyard.observe.reasons.model_repository import is_awaited, unready_models
from modelyard.observe.reasons.startup_times import measured
from modelyard.observe.scaling_status import Verdict, changes, scaling_active, scaling_status

FETCH_INTERVAL_S = 5.0
"""How often fetchers' progress is read."""

INDEX_INTERVAL_S = 30.0
"""How often the index of a model repository is read: every client that reaches it can unload models."""

LOOK_AGAIN_S = 30.0
"""How long at most until another look while a replica does not answer: causes and cures that no watch of ours shows,
such as a dead node or a device that became free, are then reported within a minute."""


@dataclass(frozen=True)
class ServiceEvent:
    """An Event about the service."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class StatusUpdate:
    """What a reconcile ends with: the status to store, the events of its transitions, and when to look again."""

    status: Object
    events: tuple[ServiceEvent, ...]
    requeue_after_s: float | None


def status(s: Assessment) -> StatusUpdate:
    """The service's new status, with an event for each transition."""
    decided = {type_: verdict for type_, decide in _CONDITIONS.items() if (verdict := decide(s))}
    progress_status, progress = decided[ConditionType.PROGRESSING]
    if progress_status == "True":
        decided[ConditionType.RECONCILING] = ("True", progress)
    elif progress.is_problem:
        decided[ConditionType.STALLED] = ("True", progress)
    stored = entries(s.stored, "conditions")
    _, ready = decided[ConditionType.READY]
    prefetched, of_prefetching = _prefetch(s)
    scaled = (ServiceEvent(type_, reason, note) for type_, reason, note in changes(s))
    fields = {
        "observedGeneration": s.generation,
        "replicas": len(s.live),
        "readyReplicas": len(s.answering),
        "desiredReplicas": s.desired,
        "selector": f"{names.LABEL_SERVICE}={s.key.name},{names.LABEL_APP_COMPONENT}={names.COMPONENT_ENGINE}",
        "url": s.url or None,
        "reason": ready.reason,
        "model": _model(s),
        "prefetch": prefetched,
        "scaling": _as_stored(scaling) if (scaling := scaling_status(s)) else None,
        "startup": _startup(s),
        "effective": _effective(s),
        "conditions": [
            condition(type_, decision, why, stored=stored, generation=s.generation, now=s.now)
            for type_, (decision, why) in decided.items()
        ],
    }
    present = {name: value for name, value in fields.items() if value is not None}
    events = (*_events(decided, stored), *_fetches(s), *of_prefetching, *scaled)
    return StatusUpdate(present, events, _requeue_after_s(s))


def _ready(s: Assessment) -> Verdict:
    if s.deleting:
        return "False", Reasons.DELETING.explain()
    if s.answering and (s.desired or s.refusal):
        return "True", _ready_how(s)
    if s.refusal:
        return "False", s.refusal
    return "False", s.lead if s.desired else s.scaled_to_zero


def _ready_how(s: Assessment) -> Explanation:
    """Which way a service of which some replica answers is ready."""
    counts = {"ready": len(s.answering), "desired": s.desired}
    stuck = s.refusal or s.blocked
    if stuck and (s.refusal or s.old):
        return Reasons.SERVING_PREVIOUS.explain(cause=stuck.message, **counts)
    if stuck:
        return Reasons.DEGRADED.explain(cause=stuck.message, **counts)
    return Reasons.READY.explain(url=s.url, **counts) if s.complete else s.rolling_out


def _accepted(s: Assessment) -> Verdict:
    if s.refusal:
        return "False", s.refusal
    if s.paused:
        return "Unknown", s.paused
    if isinstance(s.problem, NotReadyError):
        return "Unknown", waited_for(s.problem)
    if s.target and (refusal := s.target.refresh_refusal):
        return "True", Reasons.ACCEPTED_AS_RECORDED.explain(reason=refusal.reason, cause=refusal.message)
    return "True", s.contested or Reasons.ACCEPTED.explain()


def _model_cached(s: Assessment) -> Verdict:
    if differing := differing_contents(s.newest):
        return "False", differing
    fetching = [why for pod, why in s.found if pod.stage is Stage.FETCHING]
    problems = [why for why in fetching if why.is_problem]
    if problems:
        return "False", problems[0]
    if fetched := [pod for pod in s.newest if pod.fetched]:
        mounted = any(state.mounted for pod in fetched if (state := pod.fetch_report))
        return "True", (Reasons.MOUNTED if mounted else Reasons.CACHED).explain()
    if fetching:
        return "False", fetching[0]
    return "Unknown", _ready(s)[1]


def _available(s: Assessment) -> Verdict:
    if s.desired and len(s.answering) >= s.desired and not s.deleting:
        return "True", Reasons.READY.explain(ready=len(s.answering), desired=s.desired, url=s.url)
    if s.deleting or s.refusal or not s.desired:
        return "False", _ready(s)[1]
    return "False", s.worst or s.lead


def _progressing(s: Assessment) -> Verdict:
    if s.deleting:
        return "True", Reasons.DELETING.explain()
    if held_back := s.paused or s.refusal:
        return "False", held_back
    if not s.desired and not isinstance(s.problem, NotReadyError):
        return "False", s.scaled_to_zero
    if s.under_way:
        return "True", s.under_way
    return "False", s.blocked or Reasons.COMPLETE.explain(desired=s.desired)


def _update_available(s: Assessment) -> Verdict:
    if s.target is None:
        return "Unknown", _accepted(s)[1]
    if s.target.refresh_refusal:
        return "False", _accepted(s)[1]
    if not s.target.refresh_changes:
        return "False", Reasons.UP_TO_DATE.explain()
    key, changes = s.key, "; ".join(s.target.refresh_changes)
    return "True", Reasons.REFRESH_CHANGES_PODS.explain(changes=changes, namespace=key.namespace, name=key.name)


_CONDITIONS: Mapping[ConditionType, Callable[[Assessment], Verdict | None]] = {
    ConditionType.READY: _ready,
    ConditionType.ACCEPTED: _accepted,
    ConditionType.MODEL_CACHED: _model_cached,
    ConditionType.AVAILABLE: _available,
    ConditionType.PROGRESSING: _progressing,
    ConditionType.UPDATE_AVAILABLE: _update_available,
    ConditionType.SCALING_ACTIVE: scaling_active,
}


_WITH_EVENTS = (
    ConditionType.READY,
    ConditionType.PROGRESSING,
    ConditionType.MODEL_CACHED,
    ConditionType.SCALING_ACTIVE,
)
"""Conditions whose transitions become events, the one that a reason is reported for first."""


def _prefetch(s: Assessment) -> tuple[Object | None, tuple[ServiceEvent, ...]]:
    """How far prefetching is, with an event where it came to an end or to a problem."""
    stored = s.stored.get("prefetch")
    if s.target is None:
        return _kept(PrefetchStatus, stored), ()
    if s.prefetch is None:
        return None, ()
    why = s.prefetch.why
    is_news = why.kind is not Kind.UNDER_WAY and why.reason != text(stored, "reason")
    event = ServiceEvent("Warning" if why.is_problem else "Normal", why.reason, why.message)
    return _as_stored(s.prefetch.status), (event,) if is_news else ()


def _model(s: Assessment) -> Object | None:
    known = model_status(s.fetching, s.stored.get("model"))
    return _as_stored(known) if known else None


def _startup(s: Assessment) -> Object | None:
    last = measured(s.newest, s.usual)
    return _as_stored(last) if last else None


def _effective(s: Assessment) -> Object | None:
    if s.target is None:
        return _kept(Effective, s.stored.get("effective"))
    return _as_stored(_with_version(s.target.effective, s))


def _with_version(effective: Effective, s: Assessment) -> Effective:
    """A version that only pods can report: from one of them, or from an earlier one of the same image."""
    if effective.engine_version != UNKNOWN_VERSION:
        return effective
    before = readable(Effective, s.stored.get("effective"))
    known = before.engine_version if before and before.engine_image == effective.engine_image else None
    return effective.model_copy(update={"engine_version": s.facts.engine_version or known or UNKNOWN_VERSION})


def _kept(model: type[ApiModel], stored: object) -> Object | None:
    found = readable(model, stored)
    return _as_stored(found) if found else None


def _as_stored(part: ApiModel) -> Object:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)


def _fetches(s: Assessment) -> tuple[ServiceEvent, ...]:
    """One event per node that got the model."""
    news = fetch_news(s.fetching, s.stored.get("model"), s.now)
    return tuple(ServiceEvent("Normal", ConditionType.MODEL_CACHED, line) for line in news)


def _events(decided: Mapping[ConditionType, Verdict], stored: list[Object]) -> tuple[ServiceEvent, ...]:
    """One event per transition: each new reason of Ready, and each new problem of the others beside it."""
    before = {text(c, "type"): (text(c, "status"), text(c, "reason")) for c in stored}
    events: list[ServiceEvent] = []
    for type_ in (type_ for type_ in _WITH_EVENTS if type_ in decided):
        status_, why = decided[type_]
        news = before.get(type_) != (status_, why.reason)
        if news and (type_ is ConditionType.READY or why.is_problem) and why.reason not in {e.reason for e in events}:
            events.append(ServiceEvent("Warning" if why.is_problem else "Normal", why.reason, why.message))
    return tuple(events)


def _requeue_after_s(s: Assessment) -> float | None:
    """When something that no watch shows may have changed: progress, a deadline, an Event, the end of a crash loop."""
    moments = [wait for pod in s.live for wait in _waits_s(pod, s)]
    if s.lacking and not s.refusal:
        moments.append(LOOK_AGAIN_S)
    if isinstance(s.problem, NotReadyError):
        moments.append(s.problem.after_s)
    if s.target and s.prefetch and s.prefetch.look_again_s is not None:
        moments.append(s.prefetch.look_again_s)
    return min(moments, default=None)


def _waits_s(pod: PodFacts, s: Assessment) -> list[float]:
    waits: list[float] = []
    if settling := settling_s(pod, s.now):
        waits.append(settling)
    if pod.stage is Stage.READY:
        if pod.models is not None:
            waits.append(FETCH_INTERVAL_S if is_awaited(pod, s.now) or unready_models(pod) else INDEX_INTERVAL_S)
        return waits
    waits.append(LOOK_AGAIN_S)
    if pod.fetch.running:
        waits.append(FETCH_INTERVAL_S)
    deadline = start_deadline(pod, s.target)
    if deadline and deadline > s.now:
        waits.append((deadline - s.now).total_seconds())
    if since := silent_since(pod):
        left_s = SILENCE_S - (s.now - since).total_seconds()
        waits.append(left_s if left_s > 0 else SILENCE_S)
    return waits
