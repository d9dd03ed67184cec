"""The real vLLM serves a real language model; and the stand-in, which serves elsewhere, behaves as it does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.conftest import namespace_for
from e2e.support.conformance import differences, profile
from e2e.support.engine_metrics import sample, told, watched
from e2e.support.kubectl import Kubectl, Object, is_true
from e2e.support.port_forward import port_forward
from e2e.support.scaling import numbers, scaling_of, serves
from e2e.support.services import service
from e2e.support.streams import streams
from modelyard.integrations.signals.engine_metrics import EngineSample
from tests.support.eventually import eventually

EXAMPLE = Path(__file__).parents[2] / "examples/smollm.yaml"
STARTED_S = 600
"""Longest start of the real engine on two busy cores; 24 s were measured on quiet ones."""

CLIENTS = 24
"""More streams than one replica on two cores gives a token each in 200 ms."""

ABORTED = 50
"""Streams whose clients all hang up at once."""
ABORTED_WATCH_S = 60
"""Twice the time after which gauges that stand still are not believed."""

POST = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], data=sys.argv[2].encode(), headers={"content-type": "application/json"})
print(urllib.request.urlopen(request, timeout=120).read().decode())
"""


@pytest.fixture(scope="module")
def tenant(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace for this file's tests."""
    yield from namespace_for(request)


@pytest.fixture(scope="module")
def smollm(tenant: Kubectl) -> Object:
    """The README's example, applied as it stands and ready."""
    tenant.apply(yaml.safe_load(EXAMPLE.read_text()))
    tenant.wait("infsvc/smollm", "condition=Ready", STARTED_S)
    return tenant.get("infsvc", "smollm")


def _post_from_the_cluster(kubectl: Kubectl, image: str, url: str, body: Any) -> Any:
    """The JSON answer to a POST that a pod of the namespace sends."""
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    client = {
        "name": "client",
        "image": image,
        "command": ["python3", "-c", POST, url, json.dumps(body)],
        "securityContext": security,
    }
    spec = {"restartPolicy": "Never", "containers": [client]}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec})
    ended = eventually(
        lambda: (phase := kubectl.get("pod", "client")["status"]["phase"]) in ("Succeeded", "Failed") and phase,
        within_s=180,
        every_s=1,
    )
    output = kubectl.run("logs", "client")
    kubectl.run("delete", "pod/client", "--wait=true")
    assert ended == "Succeeded", output
    return json.loads(output)


def test_the_example_is_served_and_answers_with_sense_through_its_service(
    tenant: Kubectl, smollm: Object, standin: Object
) -> None:
    question = {"role": "user", "content": "What is the capital of France?"}
    body = {"model": "smollm", "messages": [question], "max_tokens": 40, "temperature": 0}
    url = f"{smollm['status']['url']}/v1/chat/completions"

    answer = _post_from_the_cluster(tenant, standin["image"], url, body)

    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert is_true(smollm, "ModelCached")
    assert smollm["status"]["model"]["sizeBytes"] > 200_000_000
    assert smollm["status"]["effective"]["engineVersion"] == "0.32.0"


def test_the_stand_in_behaves_as_the_real_engine(tenant: Kubectl, smollm: Object, standin: Object) -> None:
    same = {field: smollm["spec"][field] for field in ("model",)}
    args = smollm["spec"]["engine"]["args"]
    tenant.apply(service("same-by-standin", engine=standin | {"args": args}, **same))
    tenant.wait("infsvc/same-by-standin", "condition=Ready", STARTED_S)

    with port_forward(tenant, "smollm") as real, port_forward(tenant, "same-by-standin") as imitated:
        assert differences(profile(real), profile(imitated)) == []


def test_an_engine_whose_clients_all_hung_up_at_once_counts_as_idle(tenant: Kubectl, smollm: Object) -> None:
    """Whether its gauges go to zero or keep their values (vllm-project/vllm#29928), there is no load."""
    name = smollm["metadata"]["name"]
    with port_forward(tenant, name) as url:
        with streams(tenant, name, clients=ABORTED, tokens=64):
            full = eventually(lambda: sample(url), lambda seen: _in_hand(seen) >= ABORTED - 2, within_s=120, every_s=1)
        meters = watched(url, for_s=ABORTED_WATCH_S, every_s=2)

    print(f"before: {full.running} run, {full.waiting} wait, KV cache {full.kv_usage}\n{told(meters)}")
    last = meters[-1]
    assert (last.running, last.waiting, last.kv_usage) == (0, 0, 0), told(meters)


def _in_hand(seen: EngineSample) -> float:
    assert seen.running is not None
    assert seen.waiting is not None
    return seen.running + seen.waiting


def test_load_takes_the_real_engine_from_one_replica_to_two(tenant: Kubectl, smollm: Object) -> None:
    """Its own metrics, under the load of clients that stream."""
    name = smollm["metadata"]["name"]
    with numbers(tenant, name) as seen, streams(tenant, name, clients=CLIENTS, tokens=128):
        tenant.run("patch", f"infsvc/{name}", "--type=merge", '--patch={"spec":{"scaling":{"maxReplicas":2}}}')
        serves(tenant, name, 2, within_s=STARTED_S)
        assert seen == [1, 2]
    assert {each["signal"] for each in scaling_of(tenant, name)["inputs"]} >= {"demand", "queueDepth", "kvCacheUsage"}
    tenant.run("patch", f"infsvc/{name}", "--type=json", '--patch=[{"op":"remove","path":"/spec/scaling"}]')
    tenant.run("scale", f"infsvc/{name}", "--replicas=1")
