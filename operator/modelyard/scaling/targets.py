"""Scaling by targets alone, as the HorizontalPodAutoscaler of Kubernetes 1.31 does with metrics of type Pods.

Source of the rules: kubernetes.io, "Horizontal Pod Autoscaling", algorithm details, and calcPlainMetricReplicas in
pkg/controller/podautoscaler/replica_calculator.go.
"""

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from modelyard.api.scaling import Targets
from modelyard.scaling.decision import Input
from modelyard.scaling.fleet import Fleet
from modelyard.scaling.meters import Meter
from modelyard.scaling.need import Need

TOLERANCE = 0.1 + 1e-9
"""Ratios this near to 1 change nothing."""


class _Target(NamedTuple):
    """A signal, what of a replica it is, and its target per replica in the same unit."""

    signal: str
    value: Callable[[Meter], float | None]
    target: float
    unit: str


def targets_of(targets: Targets) -> list[_Target]:
    """Those that are set."""
    chosen = []
    if targets.queue_depth is not None:
        chosen.append(_Target("queueDepth", lambda meter: meter.waiting, targets.queue_depth, "waiting requests"))
    if targets.kv_cache_usage is not None:
        chosen.append(_Target("kvCacheUsage", _percent, targets.kv_cache_usage, "% of KV cache"))
    if targets.running_requests is not None:
        chosen.append(
            _Target("runningRequests", lambda meter: meter.running, targets.running_requests, "running requests")
        )
    return chosen


def _percent(meter: Meter) -> float | None:
    return None if meter.kv_usage is None else meter.kv_usage * 100


def need(targets: Targets, fleet: Fleet) -> Need:
    """The largest number that any target asks for; a target that is not known may hide load, so it holds."""
    asked: dict[str, int | None] = {}
    inputs: dict[str, Input] = {}
    texts = []
    chosen = targets_of(targets)
    for target in chosen:
        values = [target.value(meter) for meter in fleet.known]
        known = [value for value in values if value is not None]
        replicas = _replicas(known, target.target, fleet) if known else None
        asked[target.signal] = replicas
        inputs[target.signal] = Input(sum(known) if known else None, replicas)
        if known:
            texts.append(f"{sum(known) / len(known):.3g} {target.unit} per replica, target {target.target:g}")
    known_asks = [replicas for replicas in asked.values() if replicas is not None]
    if not known_asks:
        return Need(None, None, "", inputs, waits_for=tuple(asked))
    wanted = max(1, *known_asks)
    waits_for = tuple(signal for signal, replicas in asked.items() if replicas is None)
    text = "; ".join(texts) + "."
    return Need(wanted, wanted, text, inputs, lambda after: _bears(chosen, fleet, after), waits_for)


def _replicas(values: list[float], target: float, fleet: Fleet) -> int:
    """What one target asks for. ``values`` are those that are known, of ready replicas; at least one.

    Broken replicas are left out: what is needed beside them is asked for.
    """
    current = fleet.healthy
    ratio = sum(values) / len(values) / target
    missing = len(fleet.serving) - len(values)
    unready = len(fleet.starting) + len(fleet.pending)
    counts_unready = unready > 0 and ratio > 1
    if missing and ratio == 1:
        return current
    if not missing and not counts_unready:
        return current if abs(1 - ratio) <= TOLERANCE else ceil(ratio * len(values) - 1e-9)
    total, number = sum(values), len(values)
    if missing:
        total += missing * target if ratio < 1 else 0.0
        number += missing
    if counts_unready:
        number += unready
    with_them = total / number / target
    if abs(1 - with_them) <= TOLERANCE or (with_them > 1) != (ratio > 1):
        return current
    replicas = ceil(with_them * number - 1e-9)
    against_it = replicas > current if with_them < 1 else replicas < current
    return current if against_it else replicas


def _bears(chosen: list[_Target], fleet: Fleet, after: int) -> bool:
    """Whether every target holds with ``after`` replicas, a replica that is not known counted as at its target."""
    if after < 1:
        return True
    for target in chosen:
        values = [target.value(meter) for meter in fleet.known]
        known = [value for value in values if value is not None]
        total = sum(known) + (len(fleet.serving) - len(known)) * target.target
        if total / after > target.target * (1 + TOLERANCE):
            return False
    return True
