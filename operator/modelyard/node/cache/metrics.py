"""The agent's metrics, in Prometheus' format: docs/metrics.md explains each."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from modelyard.contract.page_server import Page
from modelyard.node.cache.budget import Kind
from modelyard.node.cache.overview import Overview


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._evicted = self._counter("evicted_bytes", "Bytes that were evicted to make room.", "kind")
        self._refused = self._counter("refusals", "Requests for room that were refused.", "reason")
        self._published = self._counter("publications", "Volumes that were mounted, or why one was not.", "outcome")
        self._checked = self._counter("checked_bytes", "Bytes that were read again and compared.", "outcome")
        self._leftovers = self._counter("leftovers", "Leftovers of dead fetches and pods that were removed.")
        self._registered = Gauge(
            "modelyard_node_registered", "1 once the kubelet took the driver.", registry=self._registry
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"modelyard_node_{name}", text, labels, registry=self._registry)

    def evicted(self, kind: Kind, size_bytes: int) -> None:
        """Something had to go."""
        self._evicted.labels(kind).inc(size_bytes)

    def refused(self, reason: str) -> None:
        """A request for space was refused."""
        self._refused.labels(reason).inc()

    def published(self, outcome: str) -> None:
        """A call of NodePublishVolume ended; ``outcome`` is its gRPC status."""
        self._published.labels(outcome).inc()

    def checked(self, outcome: str, size_bytes: int) -> None:
        """An entry's bytes were compared: ``ok`` or ``corrupt``."""
        self._checked.labels(outcome).inc(size_bytes)

    def tidied(self) -> None:
        """A leftover was removed."""
        self._leftovers.inc()

    def watch_registration(self, is_registered: Callable[[], bool]) -> None:
        """Show whether the kubelet has registered the driver, evaluated at each scrape."""
        self._registered.set_function(lambda: float(is_registered()))

    def watch_cache(self, overview: Callable[[], Overview | None]) -> None:
        """Show what the cache holds, evaluated at each scrape; None: the node has no folder for it."""
        self._registry.register(_Cache(overview))

    def families(self) -> Iterable[Metric]:
        """What there is, with its samples."""
        return self._registry.collect()

    def page(self) -> Page:
        """What a scrape gets."""
        return Page(200, CONTENT_TYPE_LATEST, generate_latest(self._registry))


class _Cache(Collector):
    def __init__(self, overview: Callable[[], Overview | None]) -> None:
        self._overview = overview

    def describe(self) -> Iterable[Metric]:
        """Nothing yet: there may be no cache to look at."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        overview = self._overview()
        yield _gauge("path_missing", "1 where the node lacks the cache's folder.", float(overview is None))
        if overview is None:
            return
        yield _gauge("budget_bytes", "What all namespaces together may hold.", overview.limits.budget_bytes)
        yield _gauge("reserve_bytes", "What stays free on the file system.", overview.limits.reserve_bytes)
        yield _gauge("free_bytes", "What is free on the file system.", overview.disk.free_bytes)
        used = GaugeMetricFamily(
            "modelyard_node_used_bytes", "What a namespace holds on this node.", labels=["namespace"]
        )
        over = GaugeMetricFamily(
            "modelyard_node_over_budget", "1 for a namespace that wrote without asking.", labels=["namespace"]
        )
        entries = GaugeMetricFamily(
            "modelyard_node_entries", "Models that a namespace has here.", labels=["namespace", "in_use"]
        )
        for holding in overview.holdings:
            name = overview.names.get(holding.namespace) or holding.namespace
            used.add_metric([name], holding.used_bytes)
            over.add_metric([name], float(holding.is_over_budget))
            models = [item for item in holding.items if item.kind is Kind.ENTRY]
            in_use = sum(item.pins > 0 for item in models)
            entries.add_metric([name, "true"], in_use)
            entries.add_metric([name, "false"], len(models) - in_use)
        yield from (used, over, entries)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"modelyard_node_{name}", text, value=value)
