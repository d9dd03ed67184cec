"""What a scrape of the operator's metrics shows."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.controller.metrics import Metrics, ScalingFigures
from tests.support import factories, metrics_page


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


def condition(type_: str, status: str, reason: str) -> Object:
    return {"type": type_, "status": status, "reason": reason}


def test_services_are_counted_by_each_of_their_conditions() -> None:
    ready = {"conditions": [condition("Ready", "True", "Ready"), condition("Stalled", "True", "ImagePullFailed")]}
    theirs = {"conditions": [condition("example.com/Audited", "True", "Yes")]}
    services = [
        factories.service(status=ready),
        factories.service(status=ready),
        factories.service(status=theirs),
        factories.service(),
    ]
    metrics = Metrics()
    metrics.watch_services(lambda: services)
    assert [line for line in shown(metrics) if line.startswith("modelyard_services{")] == [
        'modelyard_services{condition="Ready",reason="Ready",status="True"} 2.0',
        'modelyard_services{condition="Ready",reason="",status="Unknown"} 2.0',
        'modelyard_services{condition="Stalled",reason="ImagePullFailed",status="True"} 2.0',
    ]
    services.clear()
    assert not [line for line in shown(metrics) if line.startswith("modelyard_services{")]


def test_the_leader_and_the_last_event_of_each_watch_are_shown() -> None:
    metrics = Metrics()
    leading = [True]
    metrics.watch_leadership(lambda: leading[0])
    metrics.event_received(kinds.POD)
    metrics.placed(answering=1, silent=0, without_folder=0, waiting=0)
    assert "modelyard_leader 1.0" in shown(metrics)
    leading[0] = False
    assert "modelyard_leader 0.0" in shown(metrics)
    assert [line for line in shown(metrics) if 'watch_last_event_timestamp_seconds{kind="Pod"}' in line]


def test_the_page_lists_exactly_the_metrics_that_there_are_with_their_labels() -> None:
    metrics = Metrics()
    metrics.watch_queue(lambda: 0, lambda: 0)
    metrics.watch_leadership(lambda: True)
    metrics.watch_services(lambda: [factories.service()])
    metrics.called("get", "200")
    metrics.reconciled(1, "Timeout")
    metrics.event_received(kinds.POD)
    metrics.placed(answering=1, silent=0, without_folder=0, waiting=0)
    metrics.round_ended("placement", 1, "")
    metrics.round_ended("placement", 1, "Timeout")
    metrics.scaled(1, 2)
    metrics.watch_scaling(lambda: [ScalingFigures("team-a", "smollm", {"desired": 2}, 0)])
    assert metrics_page.listed("Metrics") == metrics_page.present(metrics.families())


def test_the_last_scaling_decisions_are_shown_as_they_are_at_the_scrape() -> None:
    metrics, decided = Metrics(), [ScalingFigures("team-a", "smollm", {"desired": 2, "maximum": 8}, 1)]
    metrics.watch_scaling(lambda: decided)
    metrics.scaled(1, 2)
    metrics.scaled(2, 1)
    metrics.scaled(1, 3)
    page = shown(metrics)
    assert 'modelyard_scaling_replicas{kind="desired",namespace="team-a",service="smollm"} 2.0' in page
    assert 'modelyard_scaling_unknown_metrics{namespace="team-a",service="smollm"} 1.0' in page
    assert 'modelyard_scalings_total{direction="up"} 2.0' in page
    decided.clear()
    assert not [line for line in shown(metrics) if line.startswith("modelyard_scaling_replicas{")]
