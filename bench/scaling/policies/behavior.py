"""What a HorizontalPodAutoscaler does after its metrics: stabilization, rates, bounds.

As in Kubernetes, pkg/controller/podautoscaler/horizontal.go: stabilizeRecommendationWithBehaviors and
convertDesiredReplicasWithBehaviorRate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from modelyard.api.scaling import Scaling


@dataclass(frozen=True)
class Rule:
    """At most ``pods`` or ``percent`` of the replicas, whichever is more, within ``period_s``."""

    window_s: float
    percent: float
    pods: int
    period_s: float


@dataclass(frozen=True)
class Behavior:
    """The defaults are those of Kubernetes."""

    up: Rule = Rule(0.0, 100.0, 4, 15.0)
    down: Rule = Rule(300.0, 100.0, 0, 15.0)


@dataclass(frozen=True)
class Past:
    """Recommendations and changes, (time, replicas) and (time, difference), as long as a rule looks back."""

    recommended: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()


def settle(
    behavior: Behavior, scaling: Scaling, past: Past, *, now_s: float, current: int, recommended: int
) -> tuple[int, Past]:
    """The number of replicas to set."""
    kept = tuple(
        entry for entry in past.recommended if entry[0] > now_s - max(behavior.up.window_s, behavior.down.window_s)
    )
    kept = (*kept, (now_s, recommended))
    stable = _stabilized(behavior, kept, now_s, current)
    if stable > current:
        stable = min(stable, _up_limit(behavior.up, past.changes, now_s, current), max(scaling.max_replicas, current))
    elif stable < current:
        stable = max(stable, _down_limit(behavior.down, past.changes, now_s, current))
    desired = min(max(stable, scaling.min_replicas), scaling.max_replicas)
    period_s = max(behavior.up.period_s, behavior.down.period_s)
    changes = tuple(change for change in past.changes if change[0] > now_s - period_s)
    if desired != current:
        changes = (*changes, (now_s, desired - current))
    return desired, Past(kept, changes)


def _stabilized(behavior: Behavior, kept: Sequence[tuple[float, int]], now_s: float, current: int) -> int:
    latest = kept[-1][1]
    up = min([count for time_s, count in kept if time_s > now_s - behavior.up.window_s] or [latest])
    down = max([count for time_s, count in kept if time_s > now_s - behavior.down.window_s] or [latest])
    return min(max(current, min(up, latest)), max(down, latest))


def _up_limit(rule: Rule, changes: Sequence[tuple[float, int]], now_s: float, current: int) -> int:
    began = current - sum(change for time_s, change in changes if time_s > now_s - rule.period_s)
    return max(began + rule.pods, ceil(began * (1 + rule.percent / 100)))


def _down_limit(rule: Rule, changes: Sequence[tuple[float, int]], now_s: float, current: int) -> int:
    began = current - sum(change for time_s, change in changes if time_s > now_s - rule.period_s)
    return min(began - rule.pods, int(began * (1 - rule.percent / 100)))
