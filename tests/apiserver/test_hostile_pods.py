"""A pod that lies hurts only its own service: the whole program beside a real API server and lying pods."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from modelyard.api import kinds
from modelyard.api.conditions import MESSAGE_LENGTH
from modelyard.contract import names
from tests.support.api_client import Client, Object
from tests.support.apiserver import ApiServer
from tests.support.eventually import eventually
from tests.support.hostile_pods import LIES, Lie, all_lying, answering, replying, reporting
from tests.support.inference_services import minimal
from tests.support.ports import free_port
from tests.support.program import Program, ready

MEMORY_GROWTH_BYTES = 32 * 2**20
TERMINATION_MESSAGE_BYTES = 4096
"""As much as the kubelet keeps of one."""

TERMINATION_MESSAGES = {
    "ended-with-deep-json": '{"a":' * 800,
    "ended-with-control-characters": "\x1b[2J\u202e\U0001f600" * 300,
    "ended-with-a-huge-number": '{"bytesDone": ' + "9" * 4000 + "}",
    "ended-with-a-lie": '{"phase": "Ready", "error": {"reason": "Ready", "message": {"a": []}}}',
}


@pytest.fixture
def operator(apiserver: ApiServer, tmp_path: Path) -> Iterator[Program]:
    with ready(apiserver, tmp_path) as program:
        yield program


def resident_bytes(pid: int, field: str) -> int:
    """A process's memory: VmRSS as it is, VmHWM at its highest."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def serve(admin: Client, namespace: str, pod_statuses: Mapping[str, Object]) -> None:
    """A service by each name, with a pod of that status, as controllers and the kubelet would make it."""
    for name in pod_statuses:
        admin.create(kinds.INFERENCE_SERVICE, minimal(namespace, name))
    eventually(lambda: len(admin.list(kinds.DEPLOYMENT, namespace)) == len(pod_statuses), within_s=60)
    for name, status in pod_statuses.items():
        template = admin.get(kinds.DEPLOYMENT, name, namespace)["spec"]["template"]["metadata"]
        spec = {"nodeName": "some-node", "containers": [{"name": names.CONTAINER_ENGINE, "image": "any"}]}
        pod = admin.create(kinds.POD, {"metadata": template | {"name": name, "namespace": namespace}, "spec": spec})
        admin.replace(kinds.POD, pod | {"status": status}, "status")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fetching(address: str) -> Object:
    """Status of a pod whose fetcher runs, at that address."""
    return container_status({"running": {"startedAt": now()}}) | {"podIP": address, "podIPs": [{"ip": address}]}


def ended(message: str) -> Object:
    """Status of a pod whose fetcher ended with that message."""
    cut = message.encode()[:TERMINATION_MESSAGE_BYTES].decode(errors="ignore")
    times = {"startedAt": now(), "finishedAt": now()}
    return container_status({"terminated": {"exitCode": 1, "reason": "Error", "message": cut} | times})


def container_status(state: Object) -> Object:
    fetcher = {"name": names.CONTAINER_FETCH, "image": "any", "imageID": "", "ready": False, "restartCount": 0}
    return {"phase": "Pending", "startTime": now(), "initContainerStatuses": [fetcher | {"state": state}]}


def ready_of(admin: Client, namespace: str, name: str) -> Object | None:
    """The condition Ready of a service, once there is one."""
    status = admin.get(kinds.INFERENCE_SERVICE, name, namespace).get("status") or {}
    return next((condition for condition in status.get("conditions", ()) if condition["type"] == "Ready"), None)


def past_creation(admin: Client, namespace: str, name: str) -> Object | None:
    """The condition Ready once the operator has seen the service's pod."""
    ready = ready_of(admin, namespace, name)
    return ready if ready is not None and ready["reason"] != "Creating" else None


def progress_is_reported(admin: Client, namespace: str, name: str, text: str) -> bool:
    ready = ready_of(admin, namespace, name)
    return ready is not None and text in ready["message"]


def test_pods_that_lie_hurt_only_their_own_service(operator: Program, admin: Client, namespace: str) -> None:
    before_bytes = resident_bytes(operator.process.pid, "VmRSS")
    honest: dict[str, Lie] = {"honest": reporting(error={"reason": "AccessDenied", "message": "bucket so-and-so"})}
    with all_lying(LIES | honest) as addresses:
        lying = {name: fetching(addresses[name]) for name in LIES}
        lying |= {name: ended(message) for name, message in TERMINATION_MESSAGES.items()}
        serve(admin, namespace, lying | {"honest": fetching(addresses["honest"])})

        eventually(lambda: progress_is_reported(admin, namespace, "honest", "bucket so-and-so"), within_s=60)
        for name in lying:
            ready = eventually(partial(past_creation, admin, namespace, name), within_s=60)
            assert ready["status"] == "False"
            assert re.fullmatch(r"[A-Z]\w{2,60}", ready["reason"])
            assert len(ready["message"]) <= MESSAGE_LENGTH
            assert ready["message"].isprintable()

    assert resident_bytes(operator.process.pid, "VmHWM") - before_bytes < MEMORY_GROWTH_BYTES
    assert [line for line in operator.log() if line["level"] in ("ERROR", "CRITICAL") or "exc_info" in line] == []
    assert operator.is_ready()


def test_no_redirect_of_a_pod_is_followed(operator: Program, admin: Client, namespace: str) -> None:
    port = free_port()
    location = f"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:{port}/latest/meta-data\r\n".encode()
    with (
        answering("127.0.0.1", port, replying("{}")) as visitors,
        all_lying({"redirect": replying("", location)}) as pods,
    ):
        serve(admin, namespace, {"redirected": fetching(pods["redirect"])})
        eventually(partial(past_creation, admin, namespace, "redirected"), within_s=60)
        assert operator.is_ready()
        assert visitors == []
