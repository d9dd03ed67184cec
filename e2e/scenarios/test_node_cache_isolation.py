"""Namespaces on one node: none sees, follows or inherits what is another's."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster.images import SPOT_WORKER
from e2e.cluster.operator_installation import CACHE_PATH
from e2e.conftest import make_namespace, namespace_for
from e2e.support.cache_pods import follows_a_link, looks_around, refusal, what_it_saw
from e2e.support.cached_services import fetches, ready
from e2e.support.kubectl import Kubectl, KubectlError
from e2e.support.node_cache import NodeCache
from e2e.support.services import light, pods_of
from modelyard.contract.cache_layout import CacheLayout, folder_name
from tests.support.eventually import eventually

_ROOT = Path("/")
COLLECTED_S = 240
"""Until the bytes of a namespace that is gone are gone too: agents look every three minutes."""
ON_NODE = {"spec": {"nodeSelector": {"kubernetes.io/hostname": SPOT_WORKER}}}


@dataclass(frozen=True)
class Neighbours:
    """Two namespaces; the owner's service has brought the tiny model to the node."""

    owner: Kubectl
    stranger: Kubectl
    digest: str

    @property
    def owners_part(self) -> str:
        """Where the owner's part of the cache lies on the node."""
        return f"{CACHE_PATH}/{_uid(self.owner)}"


def _uid(kubectl: Kubectl) -> str:
    return str(kubectl.get("namespace", kubectl.namespace)["metadata"]["uid"])


@pytest.fixture(scope="module")
def stranger(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Another namespace."""
    yield from namespace_for(request)


@pytest.fixture(scope="module")
def neighbours(module_namespace: Kubectl, stranger: Kubectl) -> Neighbours:
    served = ready(module_namespace, light("served", podTemplate=ON_NODE))
    return Neighbours(module_namespace, stranger, served["status"]["model"]["digest"])


def test_the_model_lies_in_the_namespaces_part_and_its_pod_has_no_host_path(neighbours: Neighbours) -> None:
    [pod] = pods_of(neighbours.owner, "served")
    volumes = pod["spec"]["volumes"]
    assert [volume["name"] for volume in volumes if "csi" in volume] == ["cache"]
    assert not [volume["name"] for volume in volumes if "hostPath" in volume]
    enforced = neighbours.owner.get("namespace", neighbours.owner.namespace)["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"

    neighbours.owner.apply(looks_around("looks", SPOT_WORKER))
    assert f"entries/{folder_name(neighbours.digest)}/config.json" in what_it_saw(neighbours.owner, "looks")


def test_a_pod_of_another_namespace_sees_none_of_it(neighbours: Neighbours) -> None:
    claims = {"csi.storage.k8s.io/pod.namespace": neighbours.owner.namespace}
    neighbours.stranger.apply(looks_around("looks", SPOT_WORKER), looks_around("claims", SPOT_WORKER, **claims))

    empty = {folder.name for folder in CacheLayout(_ROOT).folders} | {CacheLayout(_ROOT).agent_socket.name}
    assert set(what_it_saw(neighbours.stranger, "looks")) == empty
    assert set(what_it_saw(neighbours.stranger, "claims")) == empty


def test_attributes_that_the_driver_does_not_know_are_refused(neighbours: Neighbours) -> None:
    neighbours.stranger.apply(looks_around("refused", SPOT_WORKER, namespace=neighbours.owner.namespace))

    def refused() -> bool:
        return "volumeAttributes" in neighbours.stranger.run("get", "events", "--field-selector=reason=FailedMount")

    eventually(refused, within_s=60, every_s=1)
    neighbours.stranger.run("delete", "pod/refused", "--wait=true")


def test_a_link_that_leads_out_of_the_namespaces_part_is_not_followed(neighbours: Neighbours) -> None:
    entry = f"entries/{folder_name(neighbours.digest)}"
    targets = {
        "absolute": f"{neighbours.owners_part}/{entry}",
        "relative": f"../../{_uid(neighbours.owner)}/{entry}",
        "upward": "../..",
    }
    neighbours.stranger.apply(*(follows_a_link(name, SPOT_WORKER, target) for name, target in targets.items()))

    for name in targets:
        assert "subPath" in refusal(neighbours.stranger, name)
        neighbours.stranger.run("delete", f"pod/{name}", "--wait=true")


def test_another_namespace_brings_the_same_model_itself(neighbours: Neighbours) -> None:
    served = ready(neighbours.stranger, light("served", podTemplate=ON_NODE))

    [fetched] = fetches(neighbours.stranger, "served")
    assert fetched["digest"] == neighbours.digest
    assert (fetched["cacheHit"], fetched["fetchedBytes"]) == (False, served["status"]["model"]["sizeBytes"])


def test_a_namespace_that_is_gone_leaves_no_bytes_and_its_name_inherits_none(node_cache: NodeCache) -> None:
    name = f"comes-again-{secrets.token_hex(3)}"
    first = make_namespace(name)
    body = light("served", podTemplate=ON_NODE)
    try:
        ready(first, body)
        uid = _uid(first)
        assert uid in node_cache.folders(SPOT_WORKER)
        first.run("delete", "namespace", name, "--wait=true", timeout_s=180)

        second = make_namespace(name)
        ready(second, body)
        [fetched] = fetches(second, "served")
        assert not fetched["cacheHit"]
        assert _uid(second) in node_cache.folders(SPOT_WORKER)
        eventually(lambda: uid not in node_cache.folders(SPOT_WORKER), within_s=COLLECTED_S, every_s=1)
        [entry] = node_cache.entries(SPOT_WORKER, name).values()
        assert entry["digest"] == fetched["digest"]
    finally:
        with suppress(KubectlError):
            first.run("delete", "namespace", name, "--wait=false")
