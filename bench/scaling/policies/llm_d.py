"""llm-d's guides with KEDA: a queue trigger with an overshoot guard, a token-aware rule, and a rule on the objective.

Formulas and defaults as in its guides of autumn 2026 (llm-d/llm-d, guides/workload-autoscaling). What only its gateway
knows, the uncached tokens that queue, is taken as the requests that wait times the mean prompt.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor, inf

from bench.scaling.policies.behavior import Behavior, Past, Rule, settle
from bench.scaling.policies.signals import (
    concurrency,
    decision,
    kv_usage,
    quantile,
    samples,
    serving,
    starting,
    total,
    waiting,
)
from modelyard.api.scaling import Scaling
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation
from modelyard.scaling.simulator.score import Limits


@dataclass(frozen=True)
class QueueTrigger:
    """Requests that wait, one to a replica by default, and those that run; what is starting is taken off demand that
    exceeds the replicas.
    """

    queue: float = 1.0
    running: float = 16.0
    behavior: Behavior = field(default_factory=Behavior)

    def __call__(self, scaling: Scaling, past: Past, observation: Observation) -> tuple[Decision, Past]:
        current = observation.current
        running = total(observation, concurrency) - total(observation, waiting)
        demand = max(ceil(total(observation, waiting) / self.queue), ceil(running / self.running))
        guarded = demand if demand <= current else max(demand - starting(observation), current)
        desired, past = settle(
            self.behavior, scaling, past, now_s=observation.now_s, current=current, recommended=guarded
        )
        return decision(desired, "Queue"), past


@dataclass(frozen=True)
class TokenAware:
    """Replicas that compute the tokens that queue within ``queue_s`` at ``tokens_per_s`` each, or that hold the KV."""

    tokens_per_s: float
    queue_s: float = 1.5
    kv: float = 0.8
    behavior: Behavior = field(default_factory=Behavior)

    def __call__(self, scaling: Scaling, past: Past, observation: Observation) -> tuple[Decision, Past]:
        seen = samples(observation).values()
        prompts = sum(sample.first_tokens_total or 0.0 for sample in seen)
        tokens = sum(
            (sample.prompt_tokens_total or 0.0) - (sample.cached_prompt_tokens_total or 0.0) for sample in seen
        )
        queued_tokens = total(observation, waiting) * tokens / max(prompts, 1.0)
        wanted = max(
            ceil(queued_tokens / self.tokens_per_s / self.queue_s), ceil(total(observation, kv_usage) / self.kv)
        )
        desired, past = settle(
            self.behavior, scaling, past, now_s=observation.now_s, current=observation.current, recommended=wanted
        )
        return decision(desired, "Tokens"), past


@dataclass(frozen=True)
class ObjectivePast:
    """Looks of the last minute by time, the score of each, and what the HPA remembers."""

    looks: tuple[tuple[float, Mapping[str, EngineSample]], ...] = ()
    scores: tuple[tuple[float, float], ...] = ()
    hpa: Past = field(default_factory=Past)


_OBJECTIVE_BEHAVIOR = Behavior(Rule(30.0, 100.0, 4, 60.0), Rule(180.0, 0.0, 1, 120.0))


@dataclass(frozen=True)
class ObjectiveAware:
    """The mean over 45 s of min(max(P90 TTFT / limit, P90 TPOT / limit), 2): up above ``up``, down below ``down``, held
    between; on the way up it is discounted by the share that is ready. No data is 0, that is idle. The latencies are
    those measured, not those that its predictor expects.
    """

    limits: Limits
    up: float = 0.55
    down: float = 0.40
    behavior: Behavior = _OBJECTIVE_BEHAVIOR

    def __call__(
        self, scaling: Scaling, past: ObjectivePast, observation: Observation
    ) -> tuple[Decision, ObjectivePast]:
        now_s, current = observation.now_s, observation.current
        looks = (*(look for look in past.looks if look[0] > now_s - 60.0), (now_s, samples(observation)))
        scores = (
            *(one for one in past.scores if one[0] > now_s - 45.0),
            (now_s, self._score(looks[0][1], looks[-1][1])),
        )
        mean = sum(value for _, value in scores) / len(scores)
        ready = len(serving(observation)) / max(current, 1)
        credit = ready if 0 < ready < 1 else 1.0
        wanted = current
        if mean > self.up:
            wanted = current + ceil(current * (mean * credit / self.up - 1))
        elif mean < self.down:
            wanted = current - floor(current * (1 - mean / self.down))
        desired, hpa = settle(self.behavior, scaling, past.hpa, now_s=now_s, current=current, recommended=wanted)
        return decision(desired, "Objective"), ObjectivePast(looks, scores, hpa)

    def _score(self, before: Mapping[str, EngineSample], now: Mapping[str, EngineSample]) -> float:
        pairs = [(before.get(name), sample) for name, sample in now.items()]
        first_s = quantile(
            [(old.time_to_first_token_s if old else None, new.time_to_first_token_s) for old, new in pairs], 0.9
        )
        output_s = quantile(
            [(old.time_per_output_token_s if old else None, new.time_per_output_token_s) for old, new in pairs], 0.9
        )
        worst = max((first_s or 0.0) / self.limits.first_token_s, (output_s or 0.0) / self.limits.output_token_s)
        return min(worst, 2.0) if worst < inf else 2.0
