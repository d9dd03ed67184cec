"""A HorizontalPodAutoscaler on a metric of the pods, and KEDA's, which hands an HPA a sum from Prometheus.

As in Kubernetes, pkg/controller/podautoscaler/replica_calculator.go: calcPlainMetricReplicas and
GetExternalPerPodMetricReplicas.
"""

from dataclasses import dataclass, field
from math import ceil

from bench.scaling.policies.behavior import Behavior, Past, settle
from bench.scaling.policies.signals import Signal, decision, samples, serving, starting, total
from modelyard.api.scaling import Scaling
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation

TOLERANCE = 0.1


@dataclass(frozen=True)
class PodsMetric:
    """An average over pods. Pods without a value count as at target for going down, and as 0 for going up."""

    signal: Signal
    target: float
    behavior: Behavior = field(default_factory=Behavior)

    def __call__(self, scaling: Scaling, past: Past, observation: Observation) -> tuple[Decision, Past]:
        wanted = self._wanted(observation)
        desired, past = settle(
            self.behavior, scaling, past, now_s=observation.now_s, current=observation.current, recommended=wanted
        )
        return decision(desired, "HPA"), past

    def _wanted(self, observation: Observation) -> int:
        current = observation.current
        values = [self.signal(sample) for sample in samples(observation).values()]
        known = [value for value in values if value is not None]
        if not known:
            return current
        missing = len(serving(observation)) - len(known) + starting(observation)
        ratio = sum(known) / len(known) / self.target
        if not missing:
            return current if abs(ratio - 1) <= TOLERANCE else ceil(ratio * len(known))
        filled = 0.0 if ratio > 1 else self.target
        again = (sum(known) + missing * filled) / (len(known) + missing) / self.target
        if abs(again - 1) <= TOLERANCE or (ratio < 1) != (again < 1):
            return current
        wanted = ceil(again * (len(known) + missing))
        return current if (again < 1 and wanted > current) or (again > 1 and wanted < current) else wanted


@dataclass(frozen=True)
class Keda:
    """A sum over the pods, divided by a target per replica; what is missing is not in the sum."""

    signal: Signal
    target: float
    behavior: Behavior = field(default_factory=Behavior)

    def __call__(self, scaling: Scaling, past: Past, observation: Observation) -> tuple[Decision, Past]:
        current = observation.current
        value = total(observation, self.signal)
        ratio = value / (self.target * max(current, 1))
        wanted = current if abs(ratio - 1) <= TOLERANCE else ceil(value / self.target)
        desired, past = settle(
            self.behavior, scaling, past, now_s=observation.now_s, current=current, recommended=wanted
        )
        return decision(desired, "KEDA"), past
