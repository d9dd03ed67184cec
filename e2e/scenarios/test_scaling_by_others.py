"""Scaling by what a Prometheus has, by a HorizontalPodAutoscaler, and by KEDA; then Prometheus is away for ten minutes
under load. All as examples/autoscalers has it, side by side.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from e2e.conftest import namespace_for
from e2e.support.kubectl import Kubectl, Object, condition
from e2e.support.monitoring import prometheus_stopped
from e2e.support.scaling import BUSY, active, numbers, scaled, serves, start, stays_so
from e2e.support.streams import streams
from tests.support.eventually import eventually

EXAMPLES = Path(__file__).parents[2] / "examples/autoscalers"
AWAY_S = 600
UP_S = 420
"""A HorizontalPodAutoscaler looks every 15 s, metrics-server measures as often, and the example waits a minute."""
FAST = {"STANDIN_TOKENS_PER_S": "50"}
"""Tokens for each of the clients: enough to keep a CPU at work."""
AUTOSCALED = ("by-prometheus", "by-keda", "by-hpa")


@pytest.fixture(scope="module")
def tenant(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace for this file's tests."""
    yield from namespace_for(request)


def _example(name: str, service: str, namespace: str) -> Object:
    """The example, for a service of another name in another namespace."""
    text = (EXAMPLES / f"{name}.yaml").read_text()
    body: Object = yaml.safe_load(
        text.replace("smollm", service).replace('namespace="demo"', f'namespace="{namespace}"')
    )
    return body


@pytest.fixture(scope="module")
def loaded(tenant: Kubectl) -> Iterator[None]:
    """Three services under load, each scaled by another autoscaler; all at three replicas."""
    start(tenant, scaled("by-prometheus", {"maxReplicas": 3, "source": "Prometheus"}))
    tenant.apply(scaled("by-keda", {}), scaled("by-hpa", {}, environment=FAST, requests_at_once=BUSY))
    tenant.apply(_example("keda", "by-keda", tenant.namespace), _example("hpa", "by-hpa", tenant.namespace))
    for name in ("by-keda", "by-hpa"):
        tenant.wait(f"infsvc/{name}", "condition=Ready", 240)
    with ExitStack() as clients:
        for name in AUTOSCALED:
            clients.enter_context(streams(tenant, name, clients=BUSY))
        for name in AUTOSCALED:
            serves(tenant, name, 3, within_s=UP_S)
        yield


@pytest.mark.usefixtures("loaded")
def test_without_prometheus_for_ten_minutes_under_load_nothing_changes(tenant: Kubectl) -> None:
    with ExitStack() as watches:
        seen = {name: watches.enter_context(numbers(tenant, name)) for name in AUTOSCALED}
        with prometheus_stopped():
            eventually(lambda: active(tenant, "by-prometheus")[1] == "MetricsUnavailable", within_s=180, every_s=2)
            message = active(tenant, "by-prometheus")[2]
            assert "http://prometheus.monitoring.svc:9090" in message
            stays_so(lambda: all(each == [3] for each in seen.values()), for_s=AWAY_S, every_s=5)
            scaled_object = tenant.get("scaledobject", "by-keda")
            assert (condition(scaled_object, "Fallback") or {}).get("status") == "True"
        eventually(lambda: active(tenant, "by-prometheus")[1] == "Scaling", within_s=180, every_s=2)
        assert all(each == [3] for each in seen.values())


@pytest.mark.usefixtures("loaded")
def test_an_autoscaler_of_another_that_scales_a_service_with_scaling_is_named(tenant: Kubectl) -> None:
    tenant.apply(_example("hpa", "by-prometheus", tenant.namespace))
    eventually(lambda: active(tenant, "by-prometheus")[1] == "ForeignAutoscaler", within_s=120, every_s=2)
    assert "HorizontalPodAutoscaler by-prometheus" in active(tenant, "by-prometheus")[2]
    tenant.run("delete", "hpa/by-prometheus")
    eventually(lambda: active(tenant, "by-prometheus")[1] == "Scaling", within_s=120, every_s=2)


@pytest.mark.usefixtures("loaded")
def test_from_scaling_to_an_autoscaler_of_another_and_back_nothing_jumps(tenant: Kubectl) -> None:
    with numbers(tenant, "by-keda") as seen:
        tenant.run("delete", "scaledobject/by-keda", "--wait=true")
        tenant.apply(scaled("by-keda", {"maxReplicas": 3}))
        eventually(lambda: active(tenant, "by-keda")[1] == "Scaling", within_s=180, every_s=2)
        stays_so(lambda: seen == [3], for_s=60)
        tenant.run("patch", "infsvc/by-keda", "--type=json", '--patch=[{"op":"remove","path":"/spec/scaling"}]')
        tenant.apply(_example("keda", "by-keda", tenant.namespace))
        eventually(lambda: active(tenant, "by-keda")[1] == "", within_s=120, every_s=2)
        stays_so(lambda: seen == [3], for_s=60)
