"""Policies that know what comes: a fleet of one size, and a clairvoyant one."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from bench.scaling.policies.dynamo import seconds_per_request
from bench.scaling.policies.signals import Rates, decision
from modelyard.api.scaling import Scaling
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation
from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.score import Limits


@dataclass(frozen=True)
class Static:
    """Always the same number."""

    replicas: int

    def __call__(self, scaling: Scaling, memory: None, observation: Observation) -> tuple[Decision, None]:  # noqa: ARG002
        return decision(self.replicas, "Static"), None


SMOOTHED_S = 30.0


class Clairvoyant:
    """Knows every request: at each moment it runs what the busiest ``SMOOTHED_S`` of the coming cold start need, at
    ``utilization`` of what one replica does.
    """

    def __init__(
        self, arrivals: Sequence[Arrival], profile: EngineProfile, limits: Limits, *, start_s: float, utilization: float
    ) -> None:
        self._start_s = start_s
        self._times_s = [arrival.time_s for arrival in arrivals]
        self._needs: list[float] = []
        slots = int((self._times_s[-1] if arrivals else 0.0) // SMOOTHED_S) + 1
        for slot in range(slots):
            low = bisect_left(self._times_s, slot * SMOOTHED_S)
            within = arrivals[low : bisect_left(self._times_s, (slot + 1) * SMOOTHED_S)]
            self._needs.append(_busy_s(within, profile, limits) / SMOOTHED_S / utilization)

    def __call__(self, scaling: Scaling, memory: None, observation: Observation) -> tuple[Decision, None]:  # noqa: ARG002
        now_s = observation.now_s - self._start_s
        horizon_s = observation.cold_start.high_s if observation.cold_start else 0.0
        first = int(now_s // SMOOTHED_S)
        coming = self._needs[first : int((now_s + horizon_s) // SMOOTHED_S) + 2]
        wanted = ceil(max(coming, default=0.0))
        return decision(min(max(wanted, scaling.min_replicas), scaling.max_replicas), "Clairvoyant"), None


def _busy_s(arrivals: Sequence[Arrival], profile: EngineProfile, limits: Limits) -> float:
    if not arrivals:
        return 0.0
    count = len(arrivals)
    seen = Rates(
        count, sum(each.input_tokens for each in arrivals) / count, sum(each.output_tokens for each in arrivals) / count
    )
    return count * seconds_per_request(profile, limits, seen)
