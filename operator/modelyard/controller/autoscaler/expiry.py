"""A decision that the service's Deployments do not follow: after a while decisions go on from what those have. Pure."""

from dataclasses import replace
from datetime import timedelta

from modelyard.api.conditions import ConditionType
from modelyard.api.reasons import Reasons
from modelyard.api.service import Object
from modelyard.controller.autoscaler.observation import Seen
from modelyard.observe.facts.raw_object import entries, entry, text
from modelyard.scaling.observation import Capacity, Observation

EXPIRED = timedelta(minutes=2)
"""How long Deployments may differ from what was decided, before decisions go on from what they have."""

TARGET_NOT_APPLIED = "TargetNotApplied"
"""Why capacity is limited then."""


def is_unfollowed(seen: Seen) -> bool:
    """Whether the Deployments differ from what was decided because that does not reach them.

    A number that others wrote there is no such case: the reconcile reverts it, and it is never taken up.
    """
    if seen.running == seen.replicas or _is_contested(seen.service.status):
        return False
    return seen.running < seen.replicas or bool(_refusal(seen.service.status))


def expired(seen: Seen, maximum: int, look: Observation) -> Observation:
    """The ``look`` at a service whose Deployments did not follow for EXPIRED, with what they have as what runs: at most
    the larger of the service's ``maximum`` and what was decided.
    """
    why = _refusal(seen.service.status)
    because = f": {why}" if why else "."
    message = f"{seen.replicas} replicas were decided on, but the Deployment still has {seen.running}{because}"
    current = min(seen.running, max(seen.replicas, maximum))
    return replace(look, current=current, capacity=Capacity(seen.running, TARGET_NOT_APPLIED, message))


def _refusal(status: Object) -> str:
    """Why the service's children are not applied; empty where they are."""
    accepted = entry(status, "conditions", type=str(ConditionType.ACCEPTED))
    return text(accepted, "message") if text(accepted, "status") == "False" else ""


def _is_contested(status: Object) -> bool:
    return any(text(found, "reason") == Reasons.CONTESTED.name for found in entries(status, "conditions"))
