"""Agents that are killed, replaced and missing: no pod that runs notices, and no model is ever half there.

These run alone.
"""

import json
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from e2e.cluster.images import GPU_WORKER, SPOT_WORKER
from e2e.support import counted_store, store
from e2e.support.cached_services import READY_S, cached, fetches, ready, tiny_files
from e2e.support.kubectl import Kubectl, condition
from e2e.support.node_cache import NodeCache
from e2e.support.port_forward import port_forward
from e2e.support.services import pods_of
from modelyard.contract import names
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

REPORTED_S = 60
FILLER_BYTES = 8_000_000
SLOW_BYTES_PER_S = 1_000_000
TOKENS = 200


@pytest.fixture(scope="module")
def tenant(module_namespace: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A namespace with a store, near by at store.HTTP_URL and behind a slow link at counted_store.URL."""
    folder = tmp_path_factory.mktemp("store")
    own = store.start_store(module_namespace, folder)
    own.fill("models", "tiny", tiny_files(folder / "tiny"))
    own.fill("models", "large", tiny_files(folder / "tiny") | {"filler.bin": bytes(FILLER_BYTES)})
    counted_store.start_proxy(module_namespace, SLOW_BYTES_PER_S)
    return module_namespace


def _stream(url: str) -> list[bytes]:
    """The events of a long answer."""
    body = {"prompt": "hi", "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    head = {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return [line for line in answer if line.startswith(b"data: ")]


def _restarts(kubectl: Kubectl, name: str) -> dict[str, int]:
    return {
        pod["metadata"]["uid"]: sum(status["restartCount"] for status in pod["status"]["containerStatuses"])
        for pod in pods_of(kubectl, name)
    }


def _killed(node_cache: NodeCache, node: str) -> None:
    """Kill the node's agent and wait until there is another."""
    before = node_cache.agent(node)
    node_cache.kill(node)
    eventually(lambda: node_cache.is_started_anew(node, before), within_s=REPORTED_S, every_s=0.5)


def test_pods_that_run_do_not_notice_that_their_agent_is_killed_and_then_replaced(
    tenant: Kubectl, node_cache: NodeCache, cluster: Kubectl
) -> None:
    slow = {"env": [{"name": "STANDIN_TOKENS_PER_S", "value": "10"}]}
    ready(tenant, cached("streams", node=SPOT_WORKER, engine=slow))
    before = _restarts(tenant, "streams")
    taint = f"{names.TAINT_CACHE_STARTING}=true:NoSchedule"

    with port_forward(tenant, "streams") as url, ThreadPoolExecutor(1) as threads:
        events: Future[list[bytes]] = threads.submit(_stream, url)
        _killed(node_cache, SPOT_WORKER)
        cluster.run("taint", "node", SPOT_WORKER, taint)
        node_cache.roll_out_anew()
        answer = events.result(timeout=120)

    assert answer[-1] == b"data: [DONE]\n"
    assert len(answer) > TOKENS
    assert _restarts(tenant, "streams") == before
    eventually(lambda: not _is_starting(cluster, SPOT_WORKER), within_s=REPORTED_S, every_s=0.5)

    again = ready(tenant, cached("again", node=SPOT_WORKER))
    [fetched] = fetches(tenant, "again")
    assert fetched["cacheHit"], "the model outlived the agents"
    entry = node_cache.entries(SPOT_WORKER, tenant.namespace)[again["status"]["model"]["digest"]]
    assert entry["pins"] == 2, "pods that an earlier agent published count"
    tenant.run("delete", "infsvc/streams", "infsvc/again", "--wait=true")
    eventually(lambda: not tenant.list("pods", names.MANAGED_SELECTOR), within_s=REPORTED_S, every_s=0.5)
    pins = node_cache.entries(SPOT_WORKER, tenant.namespace)[again["status"]["model"]["digest"]]["pins"]
    assert pins == 0, "volumes of an earlier agent are taken back"


def _is_starting(cluster: Kubectl, node: str) -> bool:
    taints = cluster.get("node", node)["spec"].get("taints", [])
    return names.TAINT_CACHE_STARTING in {taint["key"] for taint in taints}


def test_an_agent_killed_while_pods_are_given_their_volumes_keeps_none_from_starting(
    tenant: Kubectl, node_cache: NodeCache
) -> None:
    tenant.apply(cached("four", node=SPOT_WORKER, replicas=4))
    _killed(node_cache, SPOT_WORKER)
    tenant.wait("infsvc/four", "jsonpath={.status.readyReplicas}=4", READY_S)

    fetched = fetches(tenant, "four")
    assert len({fetch["digest"] for fetch in fetched}) == 1
    tenant.run("delete", "infsvc/four", "--wait=true")


def test_a_fetch_goes_on_where_it_was_when_its_agent_is_killed(tenant: Kubectl, node_cache: NodeCache) -> None:
    tenant.apply(cached("large", folder="large", endpoint=counted_store.URL, node=SPOT_WORKER))
    tenant.wait("infsvc/large", "jsonpath={.status.reason}=Fetching", REPORTED_S)
    _killed(node_cache, SPOT_WORKER)
    tenant.wait("infsvc/large", "condition=Ready", READY_S)

    [fetched] = fetches(tenant, "large")
    size_bytes = tenant.get("infsvc", "large")["status"]["model"]["sizeBytes"]
    assert fetched["bytesDone"] == size_bytes > FILLER_BYTES
    assert fetched["fetchedBytes"] < 2 * size_bytes
    tenant.run("delete", "infsvc/large", "--wait=true")


def test_a_node_without_an_agent_is_reported_by_name_and_serves_what_needs_none(
    tenant: Kubectl, node_cache: NodeCache
) -> None:
    ephemeral = {"medium": names.MEDIUM_EPHEMERAL}
    with node_cache.absent_from(GPU_WORKER):
        tenant.apply(cached("needs", node=GPU_WORKER))
        ready(tenant, cached("needs-none", node=GPU_WORKER, cache=ephemeral))

        def reported() -> str | None:
            ready_ = condition(tenant.get("infsvc", "needs"), "Ready")
            return str(ready_["message"]) if ready_ and ready_["reason"] == "NoNodeCache" else None

        assert GPU_WORKER in eventually(reported, within_s=REPORTED_S, every_s=0.5)
    # What the kubelet tries again by itself, it does within two minutes; a new pod comes at once.
    for pod in pods_of(tenant, "needs"):
        tenant.run("delete", "pod", pod["metadata"]["name"], "--wait=true")
    tenant.wait("infsvc/needs", "condition=Ready", READY_S)
