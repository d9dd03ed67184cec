"""The whole program scales: it reads an engine over HTTP, writes to a real API server, and is killed in between."""

import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modelyard.api import kinds
from modelyard.api.conditions import timestamp
from modelyard.contract import names
from tests.support.api_client import Client, Object
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import minimal
from tests.support.prefetching import node_on
from tests.support.program import SETTINGS, Program, allow, started

ADDRESS = "127.0.0.77"
METRICS_PORT = 8000
EVERY_5_S = SETTINGS + "scaling_interval_s: 5\n"
PATIENCE_S = 60.0

PAGE = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{model_name="m"}} {running}
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{model_name="m"}} 0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{model_name="m"}} 0.5
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{model_name="m"}} {tokens}
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{model_name="m"}} {tokens}
# TYPE vllm:request_success_total counter
vllm:request_success_total{{model_name="m",finished_reason="stop"}} {tokens}
"""


class FakeVllm:
    """An engine's metrics at ADDRESS: ``running`` requests, and counters that move as long as there are some."""

    def __init__(self) -> None:
        self.running = 0
        self.is_there = True
        self.tokens = 1000

    def page(self) -> bytes:
        self.tokens += 100 * self.running
        return PAGE.format(running=self.running, tokens=self.tokens).encode()


@pytest.fixture
def engine() -> Iterator[FakeVllm]:
    fake = FakeVllm()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = fake.page() if fake.is_there and self.path == "/metrics" else b"gone"
            self.send_response(200 if fake.is_there else 404)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Not worth a line."""

    with ThreadingHTTPServer((ADDRESS, METRICS_PORT), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield fake
        server.shutdown()


def launched(apiserver: ApiServer, folder: Path) -> Program:
    program = started(apiserver, OPERATOR, folder, EVERY_5_S)
    eventually(program.is_ready, within_s=PATIENCE_S)
    return program


def serving_pod(admin: Client, namespace: str) -> None:
    """The service's only pod, as the kubelet would report it."""
    template = eventually(lambda: deployment(admin, namespace))["spec"]["template"]["metadata"]
    spec = {"nodeName": "of-the-engine", "containers": [{"name": names.CONTAINER_ENGINE, "image": "any"}]}
    pod = admin.create(kinds.POD, {"metadata": template | {"name": "pod", "namespace": namespace}, "spec": spec})
    now = timestamp(datetime.now(UTC))
    container = {
        "name": names.CONTAINER_ENGINE,
        "image": "any",
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": now}},
    }
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
    status = {
        "phase": "Running",
        "startTime": now,
        "podIP": ADDRESS,
        "podIPs": [{"ip": ADDRESS}],
        "conditions": [ready],
        "containerStatuses": [container],
    }
    admin.replace(kinds.POD, pod | {"status": status}, "status")


def deployment(admin: Client, namespace: str) -> Object | None:
    return next(iter(admin.list(kinds.DEPLOYMENT, namespace)), None)


def replicas(admin: Client, namespace: str) -> int:
    found = deployment(admin, namespace)
    assert found is not None
    number = found["spec"]["replicas"]
    assert isinstance(number, int)
    return number


def status(admin: Client, namespace: str) -> Object:
    found: Object = admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace).get("status") or {}
    return found


def scaling_active(admin: Client, namespace: str) -> Object:
    conditions = status(admin, namespace).get("conditions") or ()
    return next((found for found in conditions if found["type"] == "ScalingActive"), {"reason": "", "message": ""})


def test_load_scales_a_service_and_what_is_unknown_holds_it_through_kills(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path, engine: FakeVllm
) -> None:
    allow(apiserver)
    node_on(admin, "of-the-engine")
    body = minimal(namespace)
    body["spec"]["scaling"] = {"maxReplicas": 4, "targets": {"runningRequests": 10}}
    program = launched(apiserver, tmp_path)
    with program.process:
        admin.create(kinds.INFERENCE_SERVICE, body)
        serving_pod(admin, namespace)
        engine.running = 35
        eventually(lambda: replicas(admin, namespace), lambda number: number == 4, within_s=PATIENCE_S)
        found = eventually(lambda: status(admin, namespace).get("scaling"), lambda found: found["current"] == 4)
        assert found["desired"] == 4
        assert {"signal": "runningRequests", "value": "35", "replicas": 4} in found["inputs"]
        assert scaling_active(admin, namespace)["reason"] == "Scaling"
        program.process.signal(signal.SIGKILL)
        program.process.ends()

    engine.is_there = False
    program = launched(apiserver, tmp_path)
    with program.process:
        condition = eventually(
            lambda: scaling_active(admin, namespace),
            lambda condition: condition["reason"] == "MetricsUnavailable",
            within_s=PATIENCE_S,
        )
        assert f"http://{ADDRESS}:{METRICS_PORT}/metrics" in condition["message"]
        assert replicas(admin, namespace) == 4
        history = status(admin, namespace)["scaling"]["history"]
        assert [(change["from"], change["to"]) for change in history] == [(1, 4)]
        program.ends_without_trouble()
