"""Automatic scaling in the status: the last decision, the condition ScalingActive, and an event for each change."""

from typing import Literal

from modelyard.api.conditions import ConditionType, Explanation, Kind, sentence
from modelyard.api.reasons import Reasons
from modelyard.api.scaling import ScalingStatus
from modelyard.api.service import Object
from modelyard.observe.assessment import Assessment
from modelyard.observe.facts.autoscalers import ForeignAutoscaler
from modelyard.observe.facts.raw_object import at, entry, readable, text
from modelyard.observe.target import ScalingReport
from modelyard.scaling import reasons

Verdict = tuple[str, Explanation]
"""A condition's status, and why."""

Change = tuple[Literal["Normal", "Warning"], str, str]
"""Type, reason and note of an event."""


def scaling_status(s: Assessment) -> ScalingStatus | None:
    """The last decision: the one that was reported, else the stored one; None without scaling, and before the first
    decision in the present mode.
    """
    if not _is_scaled(s):
        return None
    last = s.scaling.status if s.scaling else readable(ScalingStatus, s.stored.get("scaling"))
    return last if last and last.mode == (text(s.body, "spec", "scaling", "mode") or "Auto") else None


def scaling_active(s: Assessment) -> Verdict | None:
    """Whether replicas follow demand; None where neither we nor others scale."""
    if s.foreign:
        return "False", _conflict(s.foreign[0], s)
    if not _is_scaled(s):
        return None
    if halted := s.paused or s.refusal:
        return "Unknown", halted
    if s.scaling is None:
        return _stored(s) or ("Unknown", Reasons.AWAITING_DECISION.explain())
    return _follows_demand(s.scaling)


def _follows_demand(report: ScalingReport) -> Verdict:
    counts = {"desired": report.status.desired, "maximum": report.maximum}
    cause = sentence("; ".join(report.unknown))
    if report.is_blind:
        return "False", Reasons.METRICS_UNAVAILABLE.explain(cause=cause)
    if report.status.mode == "Recommend":
        return "False", Reasons.RECOMMENDING.explain(**counts)
    return "True", Reasons.SCALING.explain(**counts, unknown=f" Not known: {cause}." if report.unknown else "")


def changes(s: Assessment) -> list[Change]:
    """An event for each thing that the last decision changed."""
    before, new = readable(ScalingStatus, s.stored.get("scaling")), scaling_status(s)
    if s.scaling is None or new is None:
        return []
    found: list[Change] = []
    last = before.desired if before and before.mode == "Auto" else new.current
    if new.mode == "Auto" and new.desired != last:
        reason = "ScaledUp" if new.desired > last else "ScaledDown"
        change = f"from {last} to {new.desired} replicas"
        why = new.message.removeprefix(f"Scaling {change}. ")  # the decision's own first sentence
        found.append(("Normal", reason, f"Scaled {change} ({_reason(new, last, s.writer)}). {why}"))
    if new.achievable is not None and (before is None or before.achievable is None):
        note = f"{new.achievable} of {new.desired} replicas fit now: {new.message}"
        found.append(("Warning", "ScalingLimited", note))
    return found


def _reason(new: ScalingStatus, before: int, writer: str) -> str:
    """Why the number changed: as the decision has it, or because others changed it, with the name if that is known."""
    latest = new.history[0] if new.history else None
    if latest is None or (latest.from_, latest.to, latest.reason) != (before, new.desired, reasons.BY_OTHERS):
        return new.reason
    return f"{reasons.BY_OTHERS}: {writer}" if writer else reasons.BY_OTHERS


def _is_scaled(s: Assessment) -> bool:
    return isinstance(at(s.body, "spec", "scaling"), dict)


def _conflict(foreign: ForeignAutoscaler, s: Assessment) -> Explanation:
    if foreign.is_of_deployment:
        conflict = "whose replicas modelyard manages: what it writes there is reverted."
        remedy = f"Delete it, or point it at InferenceService {s.key.name} and remove spec.scaling."
    else:
        conflict = "and so does spec.scaling."
        remedy = "Remove one of the two."
    return Reasons.FOREIGN_AUTOSCALER.explain(
        autoscaler=foreign.autoscaler, target=foreign.target, conflict=conflict, remedy=remedy
    )


def _stored(s: Assessment) -> Verdict | None:
    """The stored condition, which holds until this process has decided; not one that others cause."""
    found: Object = entry(s.stored, "conditions", type=str(ConditionType.SCALING_ACTIVE))
    status, reason = text(found, "status"), text(found, "reason")
    if status not in {"True", "False"} or reason == Reasons.FOREIGN_AUTOSCALER.name:
        return None
    is_problem = reason == Reasons.METRICS_UNAVAILABLE.name
    return status, Explanation(reason, text(found, "message"), Kind.PROBLEM if is_problem else Kind.GOOD)
