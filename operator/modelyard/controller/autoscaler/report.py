"""A decision as the service's status reports it, and whether that is news: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from modelyard.api.conditions import MESSAGE_LENGTH, timestamp
from modelyard.api.scaling import Scaling, ScalingChange, ScalingInput, ScalingStatus
from modelyard.api.service import Object
from modelyard.contract.untrusted import bounded
from modelyard.observe.facts.raw_object import moment, readable
from modelyard.observe.target import ScalingReport
from modelyard.scaling.decision import Change, Decision, Input
from modelyard.scaling.observation import Observation
from modelyard.scaling.reasons import METRICS_UNAVAILABLE

REFRESHED = timedelta(minutes=5)
"""How soon figures are reported anew that changed without changing the decision. Metrics have them at any time."""

SETTLED = timedelta(minutes=1)
"""How soon another reason for the same number is reported, and other things that are unknown: near a threshold, and
with a pod that answers at times, both change with every look.
"""

HISTORY_LENGTH = 10
INPUTS_LENGTH = 16


@dataclass(frozen=True)
class Reported:
    """A report, when its figures were taken, and the reason for which fewer replicas fit than desired: empty where all
    fit, None where that is not known. ``seen_at`` is when it last became known, or unknown, what all replicas do.
    ``remark`` is what else the message has.
    """

    report: ScalingReport
    at: datetime
    shortage: str | None = None
    seen_at: datetime | None = None
    remark: str = ""


def report(
    scaling: Scaling,
    observation: Observation,
    decision: Decision,
    changes: Sequence[Change],
    before: Reported | None,
    *,
    remark: str = "",
) -> Reported:
    """The ``decision`` with the ``changes`` so far, the oldest first, and a ``remark`` in its message; ``before``
    itself if there is no news.
    """
    now = datetime.fromtimestamp(observation.now_s, UTC)
    if remark:
        decision = replace(decision, message=f"{decision.message} {remark}")
    status = _status(scaling, observation, decision, changes, now)
    new = ScalingReport(status, scaling.max_replicas, decision.unknown, is_blind=_is_blind(decision))
    shortage = observation.capacity.reason if observation.capacity and status.achievable is not None else ""
    if before is None:
        return Reported(new, now, shortage, remark=remark)
    became_blind = new.is_blind != before.report.is_blind
    reported = Reported(new, now, shortage, now if became_blind else before.seen_at, remark)
    if before.shortage not in {None, shortage} or remark != before.remark or not _is_same(before.report, new):
        return reported
    if became_blind:
        return before if before.seen_at and now - before.seen_at < SETTLED else reported
    if status.reason != before.report.status.reason or bool(new.unknown) != bool(before.report.unknown):
        return before if now - before.at < SETTLED else reported
    new = replace(new, status=status.model_copy(update={"decided_at": before.report.status.decided_at}))
    is_news = new != before.report and now - before.at >= REFRESHED
    return replace(reported, report=new) if is_news else before


def stored(status: Object, scaling: Scaling) -> Reported | None:
    """What a former process reported, from the service's status. Its figures are as old as its decision, at least."""
    found = readable(ScalingStatus, status.get("scaling"))
    at = moment(status, "scaling", "decidedAt")
    return Reported(ScalingReport(found, scaling.max_replicas), at) if found and at else None


def changes_in(status: Object) -> tuple[Change, ...]:
    """The changes in a stored status, the oldest first."""
    found = readable(ScalingStatus, status.get("scaling"))
    times = [(change, moment({"at": change.time}, "at")) for change in reversed(found.history)] if found else []
    return tuple(Change(at.timestamp(), change.from_, change.to, change.reason) for change, at in times if at)


def _is_same(one: ScalingReport, other: ScalingReport) -> bool:
    """Whether both report the same decision, whatever reason and figures it came from."""
    fields = {"mode", "current", "desired", "achievable", "history"}
    same = one.status.model_dump(include=fields) == other.status.model_dump(include=fields)
    return same and one.maximum == other.maximum


def _is_blind(decision: Decision) -> bool:
    """Whether it came from no metric: bounds may have decided all the same."""
    nothing = bool(decision.unknown) and all(each.value is None for each in decision.inputs.values())
    return nothing or decision.reason == METRICS_UNAVAILABLE


def _status(
    scaling: Scaling, observation: Observation, decision: Decision, changes: Sequence[Change], now: datetime
) -> ScalingStatus:
    capacity = observation.capacity
    is_short = capacity is not None and capacity.achievable < decision.desired
    message = decision.message
    if capacity and is_short and capacity.message not in message:
        message = f"{message} {capacity.message}"
    return ScalingStatus(
        mode=scaling.mode,
        current=observation.current,
        desired=decision.desired,
        achievable=capacity.achievable if capacity and is_short else None,
        reason=decision.reason,
        message=bounded(message, MESSAGE_LENGTH),
        inputs=_inputs(decision.inputs),
        history=[_reported(change) for change in reversed(changes[-HISTORY_LENGTH:])],
        decided_at=timestamp(now),
    )


def _reported(change: Change) -> ScalingChange:
    at = timestamp(datetime.fromtimestamp(change.time_s, UTC))
    return ScalingChange(time=at, from_=change.before, to=change.after, reason=change.reason)


def _inputs(inputs: Mapping[str, Input]) -> list[ScalingInput]:
    return [
        ScalingInput(signal=name, value=_figure(name, shown.value), replicas=shown.replicas)
        for name, shown in sorted(inputs.items())[:INPUTS_LENGTH]
    ]


def _figure(signal: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value * 100:.3g} %" if signal == "kvCacheUsage" else f"{value:.3g}"
