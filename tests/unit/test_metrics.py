"""What a scrape of the operator's metrics shows."""

from modelyard.metrics import Metrics
from tests.support import factories


def shown(metrics: Metrics) -> list[str]:
    return metrics.text().decode().splitlines()


def test_calls_errors_and_reconciles_are_counted() -> None:
    metrics = Metrics()
    metrics.called("apply", "200")
    metrics.called("apply", "200")
    metrics.reconciled(0.02, "")
    metrics.reconciled(0.2, "Timeout")
    assert 'modelyard_api_calls_total{outcome="200",verb="apply"} 2.0' in shown(metrics)
    assert 'modelyard_reconcile_errors_total{reason="Timeout"} 1.0' in shown(metrics)
    assert 'modelyard_reconcile_seconds_bucket{le="0.025"} 1.0' in shown(metrics)
    assert "modelyard_reconcile_seconds_count 2.0" in shown(metrics)


def test_the_queue_is_shown_as_it_is_at_the_scrape() -> None:
    metrics, keys = Metrics(), ["a"]
    metrics.watch_queue(lambda: len(keys), lambda: 1.5)
    assert "modelyard_queue_depth 1.0" in shown(metrics)
    keys.append("b")
    assert "modelyard_queue_depth 2.0" in shown(metrics)
    assert "modelyard_queue_oldest_seconds 1.5" in shown(metrics)


def test_services_are_counted_by_their_ready_condition() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}]}
    services = [factories.service(status=ready), factories.service(status=ready), factories.service()]
    metrics = Metrics()
    metrics.watch_services(lambda: services)
    assert 'modelyard_services{ready="True",reason="Ready"} 2.0' in shown(metrics)
    assert 'modelyard_services{ready="Unknown",reason=""} 1.0' in shown(metrics)
    services.clear()
    assert not [line for line in shown(metrics) if line.startswith("modelyard_services{")]
