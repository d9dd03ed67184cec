"""How fast the number of replicas may change, by the changes of the last minutes, as a HorizontalPodAutoscaler does."""

from collections.abc import Sequence
from math import ceil, inf

from modelyard.api.scaling import ScalingPolicy, ScalingRules
from modelyard.scaling.decision import Change
from modelyard.scaling.reasons import CANCELLED

DEFAULT_UP = (
    ScalingPolicy(type="Percent", value=100, period_seconds=15),
    ScalingPolicy(type="Pods", value=4, period_seconds=15),
)
"""As the default of a HorizontalPodAutoscaler."""

DOWN_SHARE = 1 / 6
DOWN_PERIOD_S = 60.0
"""By default at most one sixth of the replicas, and one at least, leaves within a minute."""


def most(
    rules: ScalingRules, changes: Sequence[Change], current: int, now_s: float, complete_since_s: float = -inf
) -> int:
    """The most replicas to scale up to now; ``current`` where scaling up is disabled.

    Changes before ``complete_since_s`` may be missing: a policy with a longer period allows nothing until then.
    """
    if rules.select_policy == "Disabled":
        return current
    limits = []
    for policy in rules.policies or DEFAULT_UP:
        before, added, _ = _within(changes, current, now_s, policy.period_seconds)
        allowed = policy.value if policy.type == "Pods" else ceil(before * policy.value / 100 - 1e-9)
        limits.append(current + max(allowed - added, 0) * (now_s - policy.period_seconds >= complete_since_s))
    return min(limits) if rules.select_policy == "Min" else max(limits)


def least(
    rules: ScalingRules, changes: Sequence[Change], current: int, now_s: float, complete_since_s: float = -inf
) -> int:
    """The least replicas to scale down to now; ``current`` where scaling down is disabled.

    Changes before ``complete_since_s`` may be missing, as for ``most``.
    """
    if rules.select_policy == "Disabled":
        return current
    limits = []
    for policy in rules.policies:
        before, _, removed = _within(changes, current, now_s, policy.period_seconds)
        allowed = policy.value if policy.type == "Pods" else ceil(before * policy.value / 100 - 1e-9)
        limits.append(current - max(allowed - removed, 0) * (now_s - policy.period_seconds >= complete_since_s))
    if not rules.policies:
        before, _, removed = _within(changes, current, now_s, DOWN_PERIOD_S)
        allowed = max(int(before * DOWN_SHARE), 1)
        limits.append(current - max(allowed - removed, 0) * (now_s - DOWN_PERIOD_S >= complete_since_s))
    return max(max(limits) if rules.select_policy == "Min" else min(limits), 0)


def _within(changes: Sequence[Change], current: int, now_s: float, period_s: float) -> tuple[int, int, int]:
    """The number of replicas at the period's start, and how many were added and removed since.

    Replicas that were cancelled before they had a node are no removal.
    """
    steps = [change.after - change.before for change in changes if change.time_s > now_s - period_s]
    removed = sum(
        change.before - change.after
        for change in changes
        if change.time_s > now_s - period_s and change.after < change.before and change.reason != CANCELLED
    )
    return current - sum(steps), sum(step for step in steps if step > 0), removed
