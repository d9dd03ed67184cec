"""A node whose cache holds one model and not two, and none that is larger than all of it. These run alone."""

from collections.abc import Iterator

import pytest

from e2e.cluster.images import SPOT_WORKER
from e2e.support import store
from e2e.support.cached_services import READY_S, cached, fetches, ready, tiny_files
from e2e.support.kubectl import Kubectl, condition
from e2e.support.node_cache import NodeCache
from modelyard.contract import names
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

REPORTED_S = 60
MIB = 2**20
BUDGET_MIB = 64
FILLER_BYTES = 40 * MIB


@pytest.fixture(scope="module")
def tenant(
    module_namespace: Kubectl, tmp_path_factory: pytest.TempPathFactory, node_cache: NodeCache
) -> Iterator[Kubectl]:
    """A namespace with a store of three models, of which the nodes' caches hold one, or none."""
    folder = tmp_path_factory.mktemp("store")
    own = store.start_store(module_namespace, folder)
    sizes = {"first": FILLER_BYTES, "second": FILLER_BYTES, "larger": 2 * FILLER_BYTES}
    for seed, (name, size_bytes) in enumerate(sizes.items()):
        files = tiny_files(folder / name, weights_seed=seed)
        own.fill("models", name, files | {"filler.bin": bytes(size_bytes)})
    with node_cache.changed(**{names.ENV_NODE_BUDGET: f"{BUDGET_MIB}Mi"}):
        yield module_namespace


def _message_of(kubectl: Kubectl, name: str, reason: str) -> str:
    """Wait until the service is not ready for that reason; the message."""

    def message() -> str | None:
        found = condition(kubectl.get("infsvc", name), "Ready")
        return str(found["message"]) if found and found["reason"] == reason else None

    return eventually(message, within_s=REPORTED_S, every_s=0.5)


def test_a_model_is_evicted_only_when_unused_and_is_fetched_again(
    tenant: Kubectl, node_cache: NodeCache, cluster: Kubectl
) -> None:
    first = ready(tenant, cached("first", folder="first", node=SPOT_WORKER))
    label = f"{names.LABEL_MODEL_DOMAIN}/{first['metadata']['uid']}"
    eventually(lambda: cluster.list("nodes", label), within_s=REPORTED_S, every_s=0.5)

    tenant.apply(cached("second", folder="second", node=SPOT_WORKER))
    assert f"{BUDGET_MIB}" in _message_of(tenant, "second", "CacheFull")
    assert set(node_cache.entries(SPOT_WORKER, tenant.namespace)) == {first["status"]["model"]["digest"]}

    tenant.run("scale", "infsvc/first", "--replicas=0")
    second = ready(tenant, cached("second", folder="second", node=SPOT_WORKER))
    assert set(node_cache.entries(SPOT_WORKER, tenant.namespace)) == {second["status"]["model"]["digest"]}
    eventually(lambda: not cluster.list("nodes", label), within_s=REPORTED_S, every_s=0.5)

    tenant.run("scale", "infsvc/second", "--replicas=0")
    tenant.run("scale", "infsvc/first", "--replicas=1")
    tenant.wait("infsvc/first", "condition=Ready", READY_S)
    [fetched] = fetches(tenant, "first")
    assert (fetched["cacheHit"], fetched["fetchedBytes"]) == (False, first["status"]["model"]["sizeBytes"])


def test_a_model_larger_than_the_budget_is_refused_with_the_figures(tenant: Kubectl) -> None:
    tenant.apply(cached("larger", folder="larger", node=SPOT_WORKER))
    message = _message_of(tenant, "larger", "BudgetTooSmall")
    assert "80" in message
    assert f"{BUDGET_MIB}" in message
    tenant.run("delete", "infsvc/larger", "--wait=true")
