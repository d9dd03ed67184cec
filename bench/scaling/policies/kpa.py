"""Knative's pod autoscaler on concurrency: a stable window, and a panic window a tenth of it.

As in knative/serving, pkg/autoscaler/scaling/autoscaler.go, with AIBrix's windows too (180 s and 60 s). With a look
each 15 s, a window shorter than that is the latest look.
"""

from dataclasses import dataclass
from math import ceil, floor

from bench.scaling.policies.signals import concurrency, decision, serving, total
from modelyard.api.scaling import Scaling
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation


@dataclass(frozen=True)
class Past:
    """(time, concurrency over all pods) within the stable window; since when there is panic, and its most replicas."""

    seen: tuple[tuple[float, float], ...] = ()
    panic_s: float | None = None
    panic_replicas: int = 0


@dataclass(frozen=True)
class Kpa:
    """``target`` is the concurrency of one replica."""

    target: float
    stable_s: float = 60.0
    panic_s: float = 6.0
    panic_ratio: float = 2.0
    down_rate: float = 2.0

    def __call__(self, scaling: Scaling, past: Past, observation: Observation) -> tuple[Decision, Past]:
        now_s = observation.now_s
        ready = max(len(serving(observation)), 1)
        seen = (*(one for one in past.seen if one[0] > now_s - self.stable_s), (now_s, total(observation, concurrency)))
        panic = [value for time_s, value in seen if time_s > now_s - self.panic_s]
        lowest = floor(ready / self.down_rate)
        stable = max(ceil(sum(value for _, value in seen) / len(seen) / self.target), lowest)
        bursting = max(ceil(sum(panic) / len(panic) / self.target), lowest)
        since_s, most = past.panic_s, past.panic_replicas
        if bursting / ready >= self.panic_ratio:
            since_s = now_s
        elif since_s is not None and now_s - since_s > self.stable_s:
            since_s, most = None, 0
        wanted = stable
        if since_s is not None:
            most = max(most, bursting, ready if not most else 0)
            wanted = max(stable, most)
        desired = min(max(wanted, scaling.min_replicas), scaling.max_replicas)
        return decision(desired, "KPA"), Past(seen, since_s, most)
