"""Who is compared: families of policies, each with the settings that it is tuned over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from bench.scaling.policies.behavior import Behavior, Past
from bench.scaling.policies.dynamo import Floor
from bench.scaling.policies.dynamo import Past as FloorPast
from bench.scaling.policies.hindsight import Clairvoyant, Static
from bench.scaling.policies.hpa import Keda, PodsMetric
from bench.scaling.policies.kpa import Kpa
from bench.scaling.policies.kpa import Past as KpaPast
from bench.scaling.policies.llm_d import ObjectiveAware, ObjectivePast, QueueTrigger, TokenAware
from bench.scaling.policies.signals import Signal, concurrency, kv_usage, waiting
from modelyard.scaling.decide import decide
from modelyard.scaling.memory import Memory
from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.run import Policy
from modelyard.scaling.simulator.score import Limits


@dataclass(frozen=True)
class Known:
    """What a policy may be made from: the profile that was measured before, and for those in hindsight the traffic."""

    profile: EngineProfile
    limits: Limits
    arrivals: tuple[Arrival, ...]
    start_s: float


Made = tuple[Policy[Any], Any]
"""A policy and the memory that it begins with."""

Settings = Mapping[str, Callable[[Known], Made]]

OURS = "modelyard"
STATIC = "static in hindsight"
CLAIRVOYANT = "clairvoyant"

_WINDOWS_S = (120.0, 300.0)


def _behavior(window_s: float) -> Behavior:
    """Kubernetes' defaults, but for how long it waits before it scales down."""
    default = Behavior()
    return replace(default, down=replace(default.down, window_s=window_s))


def _ours(_: Known) -> Made:
    """It is tuned on nothing."""
    return decide, Memory()


def _keda(signal: Signal, target: float, window_s: float, _: Known) -> Made:
    return Keda(signal, target, _behavior(window_s)), Past()


def _pods_metric(signal: Signal, target: float, window_s: float, _: Known) -> Made:
    return PodsMetric(signal, target, _behavior(window_s)), Past()


def _kpa(target: float, windows_s: tuple[float, float], _: Known) -> Made:
    return Kpa(target, *windows_s), KpaPast()


def _queue_trigger(queue: float, running: float, _: Known) -> Made:
    return QueueTrigger(queue, running), Past()


def _token_aware(wrong: float, queue_s: float, kv: float, known: Known) -> Made:
    limit = known.profile.batched_tokens_limit
    return TokenAware(limit / known.profile.seconds(limit) / wrong, queue_s, kv), Past()


def _objective_aware(thresholds: tuple[float, float], known: Known) -> Made:
    return ObjectiveAware(known.limits, *thresholds), ObjectivePast()


def _floor(utilization: float, kv: float, known: Known) -> Made:
    return Floor(known.profile, known.limits, utilization, kv=kv), FloorPast()


def _static(replicas: int, _: Known) -> Made:
    return Static(replicas), None


def _clairvoyant(utilization: float, known: Known) -> Made:
    made = Clairvoyant(known.arrivals, known.profile, known.limits, start_s=known.start_s, utilization=utilization)
    return made, None


def _grid(make: Callable[..., Made], *axes: tuple[Any, ...]) -> Settings:
    """A setting for each combination, named by its values."""
    return {" ".join(map(str, values)): partial(make, *values) for values in product(*axes)}


_QUEUES = (0.5, 1.0, 2.0, 5.0)
_KV_USAGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_CONCURRENCIES = (6, 8, 10, 12, 14, 17, 20, 30, 40, 60, 90)
_KPA_CONCURRENCIES = (6, 8, 10, 14, 20, 40)
_RUNNING = (6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 40.0)
_QUEUES_S, _KV_BOUNDS = (0.5, 1.5, 3.0), (0.2, 0.4, 0.6, 0.8)
_OBJECTIVES = ((0.15, 0.08), (0.25, 0.15), (0.4, 0.25), (0.55, 0.4), (0.75, 0.55))

FAMILIES: Mapping[str, Settings] = {
    OURS: {"defaults": _ours},
    "HPA queue": _grid(partial(_keda, waiting), _QUEUES, (300.0,)),
    "HPA KV": _grid(partial(_pods_metric, kv_usage), _KV_USAGES, (300.0,)),
    "HPA concurrency": _grid(partial(_pods_metric, concurrency), _CONCURRENCIES, _WINDOWS_S),
    "KPA": _grid(_kpa, _KPA_CONCURRENCIES, ((60.0, 6.0), (180.0, 60.0))),
    "llm-d queue": _grid(_queue_trigger, (1.0, 4.0), _RUNNING),
    "llm-d tokens": _grid(partial(_token_aware, 1.0), _QUEUES_S, _KV_BOUNDS),
    "llm-d tokens, speed / 6": _grid(partial(_token_aware, 6.0), _QUEUES_S, _KV_BOUNDS),
    "llm-d objective": _grid(_objective_aware, _OBJECTIVES),
    "Dynamo floor": _grid(_floor, (0.5, 0.6, 0.7, 0.8, 0.9), (0.5, 0.8)),
    STATIC: _grid(_static, tuple(range(1, 41))),
    CLAIRVOYANT: _grid(_clairvoyant, (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)),
}

BASELINES = tuple(name for name in FAMILIES if name not in {OURS, STATIC, CLAIRVOYANT})
