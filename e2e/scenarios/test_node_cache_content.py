"""One service serves one content: what changes at the source, what is pinned, and where it is kept."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster.images import SPOT_WORKER
from e2e.cluster.operator_installation import CACHE_PATH
from e2e.support import store
from e2e.support.cached_services import READY_S, cached, fetches, ready, tiny_files
from e2e.support.kubectl import Kubectl, Object, condition
from e2e.support.on_nodes import folders_of
from e2e.support.services import pods_of
from e2e.support.stories import stories
from modelyard.contract import names
from tests.support.eventually import eventually

REPORTED_S = 60


@dataclass(frozen=True)
class Tenant:
    """A namespace with a store of its own; ``folder`` is for the models that go there."""

    kubectl: Kubectl
    store: store.Store
    folder: Path

    def upload(self, name: str, weights_seed: int) -> None:
        """Put a tiny model there; another seed is other content of the same sizes."""
        self.store.fill("models", name, tiny_files(self.folder / name, weights_seed=weights_seed))


@pytest.fixture(scope="module")
def tenant(module_namespace: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    folder = tmp_path_factory.mktemp("store")
    return Tenant(module_namespace, store.start_store(module_namespace, folder), folder)


def _message_of(kubectl: Kubectl, name: str, reason: str) -> str:
    """Wait until any condition of the service has that reason; its message."""

    def message() -> str | None:
        conditions = (kubectl.get("infsvc", name).get("status") or {}).get("conditions", [])
        return next((str(c["message"]) for c in conditions if c["reason"] == reason), None)

    return eventually(message, within_s=REPORTED_S, every_s=0.5)


def test_content_that_changed_at_the_source_runs_in_no_new_pod_until_a_new_revision_accepts_it(tenant: Tenant) -> None:
    kubectl = tenant.kubectl
    tenant.upload("moves", weights_seed=0)
    before = ready(kubectl, cached("moves", folder="moves"))["status"]["model"]["digest"]
    [first] = pods_of(kubectl, "moves")

    tenant.upload("moves", weights_seed=1)
    with stories(kubectl) as watched:
        kubectl.run("scale", "infsvc/moves", "--replicas=2")
        assert "spec.model.revision" in _message_of(kubectl, "moves", "SourceChanged")
        [serving] = [pod for pod in pods_of(kubectl, "moves") if pod["metadata"]["uid"] == first["metadata"]["uid"]]
        assert serving["status"]["containerStatuses"][0]["ready"]
        assert kubectl.get("infsvc", "moves")["status"]["model"]["digest"] == before

        kubectl.apply(cached("moves", folder="moves", model={"revision": "2"}))
        kubectl.wait("infsvc/moves", "jsonpath={.status.readyReplicas}=2", READY_S)
        after = kubectl.get("infsvc", "moves")["status"]["model"]["digest"]
        assert all(moment.is_ready for moment in watched.of("moves")), "not a moment without a replica"

    recorded = kubectl.get("configmap", "moves-model")["data"]
    assert before != after
    assert set(recorded.values()) == {before, after}


def test_a_pinned_digest_that_the_source_does_not_hold_is_reported_and_the_right_one_is_served(tenant: Tenant) -> None:
    kubectl = tenant.kubectl
    tenant.upload("pinned", weights_seed=2)
    kubectl.apply(cached("pinned", folder="pinned", model={"digest": f"sha256:{'0' * 64}"}))
    message = _message_of(kubectl, "pinned", "DigestMismatch")
    [held] = [word.strip(",;.") for word in message.split() if word.startswith("sha256:") and "000000" not in word]

    served = ready(kubectl, cached("pinned", folder="pinned", model={"digest": held}))
    assert served["status"]["model"]["digest"] == held


def test_a_service_that_requests_it_keeps_its_model_in_its_own_pod(tenant: Tenant) -> None:
    kubectl = tenant.kubectl
    tenant.upload("alone", weights_seed=3)
    ready(kubectl, cached("cached", folder="alone", node=SPOT_WORKER))
    ready(kubectl, cached("alone", folder="alone", node=SPOT_WORKER, cache={"medium": names.MEDIUM_EPHEMERAL}))

    [pod] = pods_of(kubectl, "alone")
    assert [
        volume for volume in pod["spec"]["volumes"] if volume["name"] == names.VOLUME_CACHE and "emptyDir" in volume
    ]
    [fetched] = fetches(kubectl, "alone")
    assert (fetched["cacheHit"], fetched["medium"]) == (False, names.MEDIUM_EPHEMERAL)
    assert fetched["fetchedBytes"] == fetched["bytesTotal"]


def test_what_an_engine_compiled_is_found_by_the_next_start_on_the_node(tenant: Tenant) -> None:
    kubectl = tenant.kubectl
    tenant.upload("compiled", weights_seed=4)
    slow = {"env": [{"name": "STANDIN_COMPILE_S", "value": "2"}]}
    ready(kubectl, cached("compiles", folder="compiled", node=SPOT_WORKER, engine=slow))
    [first] = pods_of(kubectl, "compiles")
    assert "torch.compile took 2.00 s" in kubectl.run("logs", first["metadata"]["name"])

    uid = kubectl.get("namespace", kubectl.namespace)["metadata"]["uid"]
    environment = {entry["name"]: entry.get("value") for entry in first["spec"]["initContainers"][0]["env"]}
    kept = f"{CACHE_PATH}/{uid}/compile/{environment[names.ENV_COMPILE_KEY]}/snapshots"
    eventually(lambda: folders_of(SPOT_WORKER, kept), within_s=REPORTED_S, every_s=1)
    kubectl.run("delete", "pod", first["metadata"]["name"], "--wait=true")

    def started_again() -> Object | None:
        ready_again = condition(kubectl.get("infsvc", "compiles"), "Ready")
        pods = [pod for pod in pods_of(kubectl, "compiles") if pod["metadata"]["uid"] != first["metadata"]["uid"]]
        return pods[0] if pods and ready_again is not None and ready_again["status"] == "True" else None

    second = eventually(started_again, within_s=READY_S, every_s=0.5)
    log = kubectl.run("logs", second["metadata"]["name"])
    assert "Directly load the compiled graph" in log
    assert "torch.compile took" not in log
