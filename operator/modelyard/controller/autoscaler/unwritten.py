"""Decisions that do not take effect, as they are reported: what runs stays, and the reason is who keeps it. Pure."""

from dataclasses import replace

from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation

SCALE_REFUSED = "ScaleRefused"
"""Reason of a decision that the API server, by an admission check, refuses."""

HELD_BY_OTHERS = "HeldByOthers"
"""Reason of a decision that another writer's larger number keeps from taking effect."""


def refused(decision: Decision, look: Observation, words: str) -> Decision:
    """The ``decision`` once the API server has refused it in these ``words``."""
    why = f"The API server rejected {decision.desired} replicas: {words}."
    return _kept(decision, look, SCALE_REFUSED, why)


def held(decision: Decision, look: Observation, writer: str, written: int) -> Decision:
    """The ``decision`` beside another ``writer``, in words, that keeps spec.replicas at ``written``."""
    why = f"{decision.desired} replicas would be enough, but {writer} keeps spec.replicas at {written}."
    return _kept(decision, look, HELD_BY_OTHERS, why)


def _kept(decision: Decision, look: Observation, reason: str, why: str) -> Decision:
    change = f"Scaling from {look.current} to {decision.desired} replicas. "  # the decision's own first sentence
    message = f"{decision.message.removeprefix(change)} {why}"
    return replace(decision, desired=look.current, reason=reason, message=message)
