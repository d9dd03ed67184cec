"""To zero and back: when an idle service stops, what wakes it, and when starting it has failed too often.

Whoever may wake a service does so through ``Observation.woken_s``; nothing else starts one from zero, but a minimum.
"""

from dataclasses import dataclass, replace

from modelyard.api.scaling import Scaling
from modelyard.scaling import reasons
from modelyard.scaling.decision import Change
from modelyard.scaling.fleet import Fleet
from modelyard.scaling.past import Past
from modelyard.scaling.proposal import Proposal

DEFAULT_IDLE_S = 600

NOTICED_S = 30.0
"""Pauses that are shorter are not worth a word."""

FAILED_AFTER_S = 300.0
"""A start has failed when every replica was unready for so long and none was ever ready."""

UNSURE_FAILED_AFTER_S = 3600.0
"""The same when the operator started later than the replicas: it cannot know whether they were ready before."""

STARTS = 3
RETRY_AFTER_S = 3600.0
"""After so many failed starts in a row, wakes have no effect for an hour."""


@dataclass(frozen=True)
class Life:
    """Times in the life of a service, in seconds since the epoch, None for never. ``woken_s`` is the latest wake,
    ``taken_s`` the latest that was taken account of.
    """

    past: Past
    started_s: float
    active_s: float | None
    served_s: float | None
    woken_s: float | None
    taken_s: float | None

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.past.changes


def at_zero(scaling: Scaling, life: Life, now_s: float) -> Proposal:
    """What a service without replicas does: it waits for a wake."""
    if not _is_woken(life, now_s - _window_s(scaling)):
        return _asleep(life)
    failures = _failures(life.changes)
    if len(failures) >= STARTS and now_s - failures[0].time_s < RETRY_AFTER_S:
        left_s = RETRY_AFTER_S - (now_s - failures[0].time_s)
        sentence = (
            f"The last {len(failures)} starts failed, so a wake has no effect for {left_s / 60:.0f} more minutes. "
            "Look at the pods' events and logs, then run kubectl scale --replicas=1 to try now."
        )
        return Proposal(0, reasons.START_FAILED, (sentence,))
    return Proposal(1, reasons.WOKEN, ("The service was woken.",))


def _asleep(life: Life) -> Proposal:
    last = life.changes[-1] if life.changes else None
    if last is not None and last.after == 0 and last.reason == reasons.START_FAILED:
        sentence = "The model could not be loaded, so the service was stopped. A wake tries again."
        return Proposal(0, reasons.START_FAILED, (sentence,))
    return Proposal(0, reasons.STOPPED, ("No request came, so the service was stopped. A wake starts it.",))


def _is_woken(life: Life, recent_s: float) -> bool:
    """Whether a wake came since the service went to zero; one that crossed the decision to do so counts.

    Where nothing is known of its past, wakes since ``recent_s`` count: an older one would have it idle by now.
    """
    if life.woken_s is None:
        return False
    stopped = next((change for change in reversed(life.changes) if change.after == 0), None)
    if stopped is not None and life.woken_s > stopped.time_s:
        return True
    if life.taken_s is not None:
        return life.woken_s > life.taken_s
    return stopped is None and life.woken_s > recent_s


def _failures(changes: tuple[Change, ...]) -> list[Change]:
    """The failed starts since the last that succeeded, the latest first."""
    failures = []
    for change in reversed(changes):
        if change.after == 0:
            if change.reason != reasons.START_FAILED:
                break
            failures.append(change)
    return failures


def rest(scaling: Scaling, fleet: Fleet, life: Life, proposal: Proposal) -> Proposal:
    """``proposal``, or zero for a service that may stop and is idle or cannot start: nothing else leads to zero."""
    if scaling.min_replicas > 0 or proposal.replicas > fleet.current:
        return proposal
    proposal = replace(proposal, replicas=max(proposal.replicas, 1))
    if _cannot_start(fleet, life):
        sentence = f"No replica became ready: {', '.join(replica.name for replica in fleet.unready[:3])}."
        return Proposal(0, reasons.START_FAILED, (sentence,))
    if not fleet.serving or fleet.on_the_way or fleet.unready or fleet.unknown or fleet.unmeasured:
        return proposal
    return _at_rest(scaling, fleet, life, proposal)


def _at_rest(scaling: Scaling, fleet: Fleet, life: Life, proposal: Proposal) -> Proposal:
    """``proposal``, or zero if no replica had work for the idle window: one that may work without showing it had."""
    window_s = _window_s(scaling)
    idle_s = fleet.now_s - _busy_until_s(fleet, life)
    if idle_s < window_s:
        if fleet.current > 1 or idle_s < NOTICED_S:
            return proposal
        sentence = f"No request for {idle_s:.0f} s; the service stops after {window_s} s without one."
        return proposal.limited(proposal.replicas, reasons.NOT_IDLE, sentence)
    if fleet.unsure:
        names = ", ".join(fleet.unsure[:3])
        sentence = (
            f"No request was counted for {idle_s:.0f} s, but whether {names} still works on one is not known, so the "
            "service does not stop."
        )
        return proposal.limited(proposal.replicas, reasons.PARTLY_UNKNOWN, sentence)
    allowed = life.past.least(scaling.scale_down, fleet)
    sentence = f"No request came for {idle_s:.0f} s, and the service stops after {window_s} s without one."
    return Proposal(min(allowed, proposal.replicas), reasons.IDLE, (sentence,))


def _window_s(scaling: Scaling) -> int:
    return scaling.idle_after_seconds or DEFAULT_IDLE_S


def _busy_until_s(fleet: Fleet, life: Life) -> float:
    """The idle window counts from the last request, the last wake, and when the last replica became ready."""
    ready_s = fleet.ready_s
    return max(time_s for time_s in (life.active_s, life.woken_s, life.started_s, ready_s) if time_s is not None)


def _cannot_start(fleet: Fleet, life: Life) -> bool:
    """A pod that no node takes shows nothing either way."""
    if not fleet.unready or fleet.serving or fleet.starting:
        return False
    begun = next((change for change in reversed(life.changes) if change.before == 0), None)
    if life.served_s is not None and (begun is None or life.served_s > begun.time_s):
        return False
    sure = begun is not None and begun.time_s >= life.started_s
    waited_s = fleet.now_s - max(*(replica.since_s for replica in fleet.unready), life.started_s)
    return waited_s >= (FAILED_AFTER_S if sure else UNSURE_FAILED_AFTER_S)
