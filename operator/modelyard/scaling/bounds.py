"""Minimum and maximum: last in every decision, whatever is known."""

from dataclasses import dataclass

from modelyard.api.scaling import Scaling, ScalingRules
from modelyard.scaling import reasons, schedules
from modelyard.scaling.fleet import Fleet
from modelyard.scaling.observation import Capacity
from modelyard.scaling.past import Past
from modelyard.scaling.proposal import Proposal


@dataclass(frozen=True)
class Bounds:
    """``floor_text`` and ``ceiling_text`` say where each comes from."""

    floor: int
    ceiling: int
    floor_reason: str
    floor_text: str
    ceiling_reason: str
    ceiling_text: str


def bounds(scaling: Scaling, fleet: Fleet, capacity: Capacity | None, lead_s: float) -> Bounds:
    """Those that hold now; a schedule's minimum holds from ``lead_s`` before its start."""
    floor, floor_reason, floor_text = scaling.min_replicas, reasons.AT_MINIMUM, "minReplicas"
    scheduled = schedules.floor(scaling.schedules, fleet.now_s, lead_s)
    if scheduled is not None and scheduled.replicas > floor:
        floor, floor_reason, floor_text = scheduled.replicas, reasons.SCHEDULED, scheduled.text
    ceiling, ceiling_reason, ceiling_text = scaling.max_replicas, reasons.MAXIMUM_LOWERED, "maxReplicas"
    running = len(fleet.serving) + len(fleet.starting) + len(fleet.unready)
    if capacity is not None and capacity.achievable < min(running, ceiling):
        ceiling, ceiling_reason, ceiling_text = capacity.achievable, capacity.reason, capacity.message
    return Bounds(min(floor, scaling.max_replicas), ceiling, floor_reason, floor_text, ceiling_reason, ceiling_text)


def bound(proposal: Proposal, limits: Bounds, scaling: Scaling, fleet: Fleet, past: Past) -> Proposal:
    """Within the bounds. Up to the minimum at once; down to a maximum that was lowered at the scale-down rate."""
    current = fleet.current
    if proposal.replicas > limits.ceiling:
        if current <= limits.ceiling:
            sentence = f"{proposal.replicas} replicas are needed; maxReplicas allows {limits.ceiling}."
            proposal = proposal.limited(limits.ceiling, reasons.AT_MAXIMUM, sentence)
        else:
            proposal = _drained(proposal, limits, scaling, fleet, past)
    if proposal.replicas < limits.floor:
        sentence = f"{limits.floor_text} asks for {limits.floor} replicas."
        proposal = proposal.limited(limits.floor, limits.floor_reason, sentence)
    return proposal


def _drained(proposal: Proposal, limits: Bounds, scaling: Scaling, fleet: Fleet, past: Past) -> Proposal:
    """Replicas that serve leave at the scale-down rate, by default where the spec disables scaling down. Those that
    have no pod or no node yet carry nothing.
    """
    rules = scaling.scale_down
    if rules.select_policy == "Disabled":
        rules = ScalingRules()
    idle = len(fleet.pending) + fleet.uncreated
    after = max(limits.ceiling, min(past.least(rules, fleet), fleet.current - idle))
    after = min(after, max(proposal.replicas, limits.ceiling))
    sentence = f"{fleet.current} replicas exceed the {limits.ceiling} of {limits.ceiling_text}; they drain in steps."
    return proposal.limited(after, limits.ceiling_reason, sentence)
