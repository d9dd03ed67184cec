"""The operator's own metrics, in Prometheus' format."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from modelyard.api.conditions import ConditionType
from modelyard.api.kinds import Kind
from modelyard.api.service import Object

RECONCILE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ScalingFigures(NamedTuple):
    """The last scaling decision for a service: ``replicas`` by their meaning, and how many things are ``unknown``."""

    namespace: str
    service: str
    replicas: Mapping[str, int]
    unknown: int


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._reconcile_s = Histogram(
            "modelyard_reconcile_seconds",
            "Time of one reconcile.",
            buckets=RECONCILE_BUCKETS_S,
            registry=self._registry,
        )
        self._errors = Counter(
            "modelyard_reconcile_errors",
            "Reconciles that failed and are tried again.",
            ["reason"],
            registry=self._registry,
        )
        self._api_calls = Counter(
            "modelyard_api_calls", "Calls of the API server.", ["verb", "outcome"], registry=self._registry
        )
        self._last_resync = Gauge(
            "modelyard_last_resync_timestamp_seconds", "When the last full LIST succeeded.", registry=self._registry
        )
        self._node_caches = Gauge(
            "modelyard_node_caches",
            "Node agents by their last answer to the leader.",
            ["state"],
            registry=self._registry,
        )
        self._nodes_to_label = Gauge(
            "modelyard_nodes_to_label",
            "Nodes whose labels still differ from what their caches hold after the last round.",
            registry=self._registry,
        )
        self._round_s = Histogram(
            "modelyard_loop_round_seconds",
            "Time of one round of a loop beside the reconciles.",
            ["loop"],
            buckets=(*RECONCILE_BUCKETS_S, 300),
            registry=self._registry,
        )
        self._round_errors = Counter(
            "modelyard_loop_errors",
            "Rounds that failed.",
            ["loop", "reason"],
            registry=self._registry,
        )
        self._last_round = Gauge(
            "modelyard_loop_last_round_timestamp_seconds",
            "When a round last succeeded.",
            ["loop"],
            registry=self._registry,
        )
        self._scalings = Counter(
            "modelyard_scalings",
            "Changes of replicas that scaling decided on.",
            ["direction"],
            registry=self._registry,
        )
        self._last_event = Gauge(
            "modelyard_watch_last_event_timestamp_seconds",
            "When a watch last delivered an event of the kind.",
            ["kind"],
            registry=self._registry,
        )

    def reconciled(self, duration_s: float, error_reason: str) -> None:
        """A reconcile ended; ``error_reason`` is empty when it succeeded."""
        self._reconcile_s.observe(duration_s)
        if error_reason:
            self._errors.labels(error_reason).inc()

    def called(self, verb: str, outcome: str) -> None:
        """A call of the API server ended; ``outcome`` is its HTTP status, or why there was none."""
        self._api_calls.labels(verb, outcome).inc()

    def event_received(self, kind: Kind) -> None:
        """A watch delivered an event."""
        self._last_event.labels(kind.kind).set_to_current_time()

    def resynced(self) -> None:
        """A full LIST succeeded."""
        self._last_resync.set_to_current_time()

    def placed(self, *, answering: int, silent: int, without_folder: int, waiting: int) -> None:
        """A round of placement ended; ``waiting`` nodes are still to be labelled."""
        counts = {"answering": answering, "silent": silent, "without-folder": without_folder}
        for state, count in counts.items():
            self._node_caches.labels(state).set(count)
        self._nodes_to_label.set(waiting)

    def round_ended(self, loop: str, duration_s: float, error_reason: str) -> None:
        """A round of ``loop`` ended; ``error_reason`` is empty when it succeeded."""
        self._round_s.labels(loop).observe(duration_s)
        if error_reason:
            self._round_errors.labels(loop, error_reason).inc()
        else:
            self._last_round.labels(loop).set_to_current_time()

    def scaled(self, before: int, after: int) -> None:
        """Scaling changed a service's number of replicas."""
        self._scalings.labels("up" if after > before else "down").inc()

    def watch_scaling(self, figures: Callable[[], Iterable[ScalingFigures]]) -> None:
        """Expose the last scaling decision for each service, read at each scrape."""
        self._registry.register(_Scaling(figures))

    def watch_queue(self, depth: Callable[[], float], oldest_age_s: Callable[[], float]) -> None:
        """Expose the queue, read at each scrape."""
        shown = (
            ("modelyard_queue_depth", "Services that wait to be reconciled.", depth),
            ("modelyard_queue_oldest_seconds", "How long the oldest service waits or is in work.", oldest_age_s),
        )
        for name, text, value in shown:
            Gauge(name, text, registry=self._registry).set_function(value)

    def watch_leadership(self, is_leading: Callable[[], bool]) -> None:
        """Expose whether this process is the one that writes, read at each scrape."""
        gauge = Gauge("modelyard_leader", "1 in the process that writes, 0 in a standby.", registry=self._registry)
        gauge.set_function(lambda: float(is_leading()))

    def watch_services(self, services: Callable[[], Iterable[Object]]) -> None:
        """Expose how many services there are by each of their conditions, read at each scrape."""
        self._registry.register(_Services(services))

    def families(self) -> Iterable[Metric]:
        """All metrics with their samples."""
        return self._registry.collect()

    def text(self) -> bytes:
        """The answer to a scrape."""
        return generate_latest(self._registry)


class _Services(Collector):
    def __init__(self, services: Callable[[], Iterable[Object]]) -> None:
        self._services = services

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "modelyard_services",
            "InferenceServices by condition. Each has a Ready condition here, Unknown until its status has one.",
            labels=["condition", "status", "reason"],
        )
        tally = Tally(condition for service in self._services() for condition in _conditions(service))
        for labels, count in sorted(tally.items()):
            family.add_metric(labels, count)
        yield family


class _Scaling(Collector):
    def __init__(self, figures: Callable[[], Iterable[ScalingFigures]]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[GaugeMetricFamily]:
        replicas = GaugeMetricFamily(
            "modelyard_scaling_replicas",
            "Replicas of a service by the last scaling decision.",
            labels=["namespace", "service", "kind"],
        )
        unknown = GaugeMetricFamily(
            "modelyard_scaling_unknown_metrics",
            "Pods and metrics that the last scaling decision lacked.",
            labels=["namespace", "service"],
        )
        for each in self._figures():
            for kind, count in each.replicas.items():
                replicas.add_metric([each.namespace, each.service, kind], count)
            unknown.add_metric([each.namespace, each.service], each.unknown)
        yield from (replicas, unknown)


def _conditions(service: Object) -> set[tuple[str, str, str]]:
    conditions = (service.get("status") or {}).get("conditions") or ()
    # Others may add conditions, of any number: only those of our own types are counted.
    ours = {(c["type"], c["status"], c["reason"]) for c in conditions if c["type"] in set(ConditionType)}
    has_ready = any(type_ == ConditionType.READY for type_, _, _ in ours)
    return ours if has_ready else {*ours, (ConditionType.READY.value, "Unknown", "")}
