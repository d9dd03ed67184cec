"""One node, one namespace: the model is fetched once, kept, preferred, and used only by who may read its source."""

from dataclasses import dataclass
from typing import Any

import pytest

from e2e.cluster.images import SPOT_WORKER
from e2e.support import counted_store, store
from e2e.support.cached_services import READY_S, cached, fetches, ready, tiny_files
from e2e.support.kubectl import Kubectl, Object, condition
from e2e.support.node_cache import NodeCache
from e2e.support.objects import secret
from e2e.support.services import pods_of
from modelyard.contract import names
from tests.support.eventually import eventually

REPORTED_S = 60
FILLER_BYTES = 8_000_000
SLOW_BYTES_PER_S = 2_000_000
LISTS_ONLY = "lists-only"


@dataclass(frozen=True)
class Tenant:
    """A namespace with a store behind a slow link, and the service that brought the model to the node."""

    kubectl: Kubectl
    pair: Object


@pytest.fixture(scope="module")
def tenant(module_namespace: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """The service's two replicas started at once, on a node that knew nothing of the model."""
    folder = tmp_path_factory.mktemp("store")
    own = store.start_store(module_namespace, folder)
    own.fill("models", "shared", tiny_files(folder / "tiny") | {"filler.bin": bytes(FILLER_BYTES)})
    own.fill("models", "roams", tiny_files(folder / "tiny", weights_seed=1))
    counted_store.start_proxy(module_namespace, SLOW_BYTES_PER_S)
    module_namespace.apply(secret(LISTS_ONLY, store.LISTING_KEYS))
    return Tenant(module_namespace, ready(module_namespace, _slow("pair", replicas=2)))


def _slow(name: str, **options: Any) -> Object:
    return cached(name, folder="shared", endpoint=counted_store.URL, **({"node": SPOT_WORKER} | options))


def test_two_pods_that_start_on_one_node_fetch_the_model_once(tenant: Tenant) -> None:
    model = tenant.pair["status"]["model"]
    fetched = fetches(tenant.kubectl, "pair")

    assert model["sizeBytes"] > FILLER_BYTES
    assert sorted(fetch["fetchedBytes"] for fetch in fetched) == [0, model["sizeBytes"]]
    assert {fetch["digest"] for fetch in fetched} == {model["digest"]}
    answered = eventually(lambda: counted_store.answered_bytes(tenant.kubectl), lambda count: count >= FILLER_BYTES)
    assert answered < 1.05 * model["sizeBytes"], "only listings and heads of answers come on top"


def test_the_nodes_second_service_starts_from_the_cache(tenant: Tenant) -> None:
    before = counted_store.answered_bytes(tenant.kubectl)

    second = ready(tenant.kubectl, _slow("second"))

    [fetched] = fetches(tenant.kubectl, "second")
    assert (fetched["cacheHit"], fetched["fetchedBytes"], fetched["medium"]) == (True, 0, names.MEDIUM_NODE_LOCAL)
    assert second["status"]["model"]["digest"] == tenant.pair["status"]["model"]["digest"]
    [node] = second["status"]["model"]["nodes"]
    assert (node["name"], node["result"], node["fetchedBytes"]) == (SPOT_WORKER, "Hit", 0)
    assert counted_store.answered_bytes(tenant.kubectl) - before < FILLER_BYTES / 10


def test_a_key_that_may_list_but_not_read_gets_no_cached_copy(tenant: Tenant) -> None:
    tenant.kubectl.apply(_slow("stranger", keys=LISTS_ONLY))

    def refused() -> Object | None:
        found = condition(tenant.kubectl.get("infsvc", "stranger"), "Ready")
        return found if found is not None and found["reason"] == "AccessDenied" else None

    found = eventually(refused, within_s=REPORTED_S, every_s=0.5)
    assert f"Secret '{LISTS_ONLY}'" in found["message"]
    [pod] = pods_of(tenant.kubectl, "stranger")
    assert "running" not in pod["status"]["containerStatuses"][0]["state"]
    tenant.kubectl.run("delete", "infsvc/stranger", "--wait=true")


def test_a_second_replica_prefers_the_node_that_has_the_model(tenant: Tenant, cluster: Kubectl) -> None:
    body = ready(tenant.kubectl, cached("roams", folder="roams"))
    [first] = pods_of(tenant.kubectl, "roams")
    label = f"{names.LABEL_MODEL_DOMAIN}/{body['metadata']['uid']}"

    def labelled() -> dict[str, str]:
        return {node["metadata"]["name"]: node["metadata"]["labels"][label] for node in cluster.list("nodes", label)}

    [(node, value)] = eventually(labelled, within_s=REPORTED_S, every_s=0.5).items()
    assert node == first["spec"]["nodeName"]
    assert value in body["status"]["model"]["digest"]

    tenant.kubectl.run("scale", "infsvc/roams", "--replicas=2")
    tenant.kubectl.wait("infsvc/roams", "jsonpath={.status.readyReplicas}=2", READY_S)
    both = pods_of(tenant.kubectl, "roams")
    assert {pod["spec"]["nodeName"] for pod in both} == {node}
    assert first["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in both}, "a label restarted a pod"

    tenant.kubectl.run("delete", "infsvc/roams", "--wait=true")
    eventually(lambda: not labelled(), within_s=REPORTED_S, every_s=0.5)


def test_the_agent_reports_what_its_node_has_and_how_many_pods_use_it(tenant: Tenant, node_cache: NodeCache) -> None:
    model = tenant.pair["status"]["model"]
    entry = node_cache.entries(SPOT_WORKER, tenant.kubectl.namespace)[model["digest"]]
    assert entry["size_bytes"] >= model["sizeBytes"]
    assert entry["pins"] >= 2
