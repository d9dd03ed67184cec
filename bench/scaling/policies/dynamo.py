"""NVIDIA Dynamo's planner: a floor from throughput every three minutes, and one replica more or less above it.

As in its documents of v1.6: the predictor is the last interval, the engine model the true profile, and scaling down is
tested by the state after it, load x N / (N - 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from bench.scaling.policies.signals import Rates, decision, kv_usage, rates, samples, starting, total, waiting
from modelyard.api.scaling import Scaling
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.score import Limits

FLOOR_EVERY_S = 180.0


@dataclass(frozen=True)
class Past:
    """The floor, when it was computed, and what the engines had counted then."""

    floor: int = 0
    floor_s: float = 0.0
    counted: Mapping[str, EngineSample] = field(default_factory=dict)


@dataclass(frozen=True)
class Floor:
    """``utilization`` is what the floor's replicas are to have; ``queue`` and ``kv`` are the load per replica above
    which one more is added, and below which, times ``down``, the rest must be for one to go.
    """

    profile: EngineProfile
    limits: Limits
    utilization: float = 0.8
    queue: float = 1.0
    kv: float = 0.8
    down: float = 0.8

    def __call__(self, scaling: Scaling, past: Past, observation: Observation) -> tuple[Decision, Past]:
        now_s, current = observation.now_s, observation.current
        if now_s - past.floor_s >= FLOOR_EVERY_S:
            past = self._new_floor(past, observation)
        wanted = max(current + self._step(observation), past.floor)
        return decision(min(max(wanted, scaling.min_replicas), scaling.max_replicas), "Floor"), past

    def _new_floor(self, past: Past, observation: Observation) -> Past:
        counted = samples(observation)
        floor = 0
        if past.counted:
            seen = rates(past.counted, counted, observation.now_s - past.floor_s)
            floor = ceil(seen.requests * seconds_per_request(self.profile, self.limits, seen) / self.utilization)
        return Past(floor, observation.now_s, counted)

    def _step(self, observation: Observation) -> int:
        replicas = len(samples(observation))
        if not replicas or starting(observation):
            return 0
        queue, kv = total(observation, waiting), total(observation, kv_usage)
        if queue / replicas > self.queue or kv / replicas > self.kv:
            return 1
        left = max(replicas - 1, 1)
        return -1 if queue / left < self.queue * self.down and kv / left < self.kv * self.down else 0


def seconds_per_request(profile: EngineProfile, limits: Limits, seen: Rates) -> float:
    """Seconds of a replica for one request, at the largest batch that keeps the objective and fits."""
    context = seen.input_tokens + seen.output_tokens / 2
    largest = max(min(int(profile.kv_capacity_tokens / max(context, 1.0)), profile.running_limit), 1)
    batch = max(
        (size for size in range(1, largest + 1) if _iteration_s(profile, size, context) <= limits.output_token_s),
        default=1,
    )
    prefill_s = profile.seconds(profile.batched_tokens_limit) / profile.batched_tokens_limit
    return seen.input_tokens * prefill_s + seen.output_tokens * _iteration_s(profile, batch, context) / batch


def _iteration_s(profile: EngineProfile, batch: int, context: float) -> float:
    return profile.seconds(batch) + profile.kv_read_s * batch * context
