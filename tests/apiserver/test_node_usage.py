"""What pods take of the nodes: what is listed, how often, and what a service then reports."""

import asyncio

import pytest

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.fence import always_open
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.cluster.login import login
from modelyard.controller.reconcile.accelerator_usage import KEPT, SOONEST, NodeUsage
from tests.support import factories
from tests.support.api_client import Client
from tests.support.apiserver import ApiServer
from tests.support.in_memory_cluster import InMemoryCluster, unavailable
from tests.support.running_operator import SETTINGS, START, RunningOperator

GPU = "nvidia.com/gpu"
REFUSED = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


@pytest.fixture
def cluster() -> InMemoryCluster:
    return InMemoryCluster()


@pytest.fixture
def operator(cluster: InMemoryCluster) -> RunningOperator:
    return RunningOperator(cluster)


def other_owners_pod(name: str = "theirs", gpus: int = 3, **fields: object) -> Object:
    containers = [{"name": "any", "image": "any", "resources": {"limits": {GPU: str(gpus)}, "requests": {GPU: gpus}}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "elsewhere"},
        "spec": {"nodeName": "worker", "containers": containers},
        **fields,
    }


async def waiting(cluster: InMemoryCluster, operator: RunningOperator, name: str) -> None:
    """A service of this name whose pod finds no node."""
    cluster.put(factories.service(name=name, uid=f"uid-of-{name}"))
    await operator.run()
    deployment = cluster.see(kinds.DEPLOYMENT, Key("team-a", name))
    assert deployment is not None
    refused = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": REFUSED}
    pod = factories.pod(name=f"{name}-1", uid=f"uid-of-{name}-1", status={"phase": "Pending", "conditions": [refused]})
    pod["metadata"]["labels"][names.LABEL_SERVICE] = name
    pod["metadata"]["annotations"] = deployment["spec"]["template"]["metadata"]["annotations"]
    cluster.put(pod)
    await operator.run()


def message(cluster: InMemoryCluster, name: str) -> str:
    service = cluster.see(kinds.INFERENCE_SERVICE, Key("team-a", name))
    assert service is not None
    return next(str(c["message"]) for c in service["status"]["conditions"] if c["type"] == "Ready")


def listings(cluster: InMemoryCluster) -> int:
    return [call.verb for call in cluster.calls].count("pages")


def a_worker(cluster: InMemoryCluster) -> None:
    healthy = {"type": "Ready", "status": "True"}
    cluster.put(factories.node(status={"allocatable": {GPU: "4"}, "conditions": [healthy]}))


async def test_a_pod_without_a_node_is_reported_with_what_is_free(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    a_worker(cluster)
    cluster.put(other_owners_pod())
    await waiting(cluster, operator, "smollm")
    assert "1 node offers 4 (at most 4 on one), of which 1 is free (at most 1 on one)." in message(cluster, "smollm")


async def test_an_installation_for_some_namespaces_claims_nothing_of_what_is_free(cluster: InMemoryCluster) -> None:
    limited = RunningOperator(cluster, settings=SETTINGS.model_copy(update={"namespaces": ("team-a",)}))
    a_worker(cluster)
    await waiting(cluster, limited, "smollm")
    assert "1 node offers 4 (at most 4 on one). Scheduler:" in message(cluster, "smollm")
    assert listings(cluster) == 0


async def test_all_services_share_one_list_of_pods(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    a_worker(cluster)
    for name in ("one", "two", "three"):
        await waiting(cluster, operator, name)
    assert listings(cluster) == 1


async def test_what_became_free_is_reported_within_a_minute(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    a_worker(cluster)
    cluster.put(other_owners_pod())
    await waiting(cluster, operator, "smollm")
    cluster.remove(kinds.POD, Key("elsewhere", "theirs"))
    await operator.run(for_s=60)
    assert "of which 4 are free" in message(cluster, "smollm")


async def test_no_usage_is_read_while_every_pod_has_a_node(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    a_worker(cluster)
    cluster.put(factories.service())
    cluster.put(factories.pod(spec={"nodeName": "worker"}))
    await operator.run(for_s=120)
    assert listings(cluster) == 0


async def test_a_list_that_fails_costs_the_figure_and_not_the_status(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    a_worker(cluster)
    cluster.fail_until_healed("pages", unavailable())
    await waiting(cluster, operator, "smollm")
    assert "1 node offers 4 (at most 4 on one). Scheduler:" in message(cluster, "smollm")
    assert operator.failures == []


async def test_pods_are_listed_anew_when_the_answer_is_old(cluster: InMemoryCluster) -> None:
    moments = [START]
    usage = NodeUsage(cluster, lambda: moments[-1])
    for passed, lists in ((KEPT * 0, 1), (KEPT / 2, 1), (KEPT, 2)):
        moments.append(START + passed)
        await usage.taken()
        assert listings(cluster) == lists


async def test_who_is_cut_off_while_pods_are_listed_leaves_no_old_answer_as_a_new_one(cluster: InMemoryCluster) -> None:
    moments = [START]
    usage = NodeUsage(cluster, lambda: moments[-1])
    await usage.taken()
    cluster.put(other_owners_pod())
    moments.append(START + KEPT)
    cluster.hang_next("pages")
    cut_off = asyncio.create_task(usage.taken())
    for _ in range(10):  # as many steps as the listing takes
        await asyncio.sleep(0)
    assert listings(cluster) == 2
    cut_off.cancel()
    await asyncio.wait({cut_off})
    assert await usage.taken() == {("worker", GPU): 3}


async def test_an_answer_from_before_a_refusal_is_none_that_explains_it(cluster: InMemoryCluster) -> None:
    moments = [START]
    usage = NodeUsage(cluster, lambda: moments[-1])
    assert await usage.taken() is not None
    moments.append(START + SOONEST / 2)
    assert await usage.taken(since=moments[-1]) is None
    assert listings(cluster) == 1
    moments.append(START + SOONEST)
    assert await usage.taken(since=moments[-1]) is not None
    assert listings(cluster) == 2


async def test_only_pods_that_take_something_are_listed(apiserver: ApiServer, admin: Client, namespace: str) -> None:
    def create(name: str, phase: str, node: str | None) -> None:
        pod = other_owners_pod(name, gpus=1)
        pod["metadata"]["namespace"] = namespace
        pod["spec"] |= {"nodeName": node} if node else {"nodeName": None}
        made = admin.create(kinds.POD, pod)
        admin.replace(kinds.POD, made | {"status": {"phase": phase}}, "status")

    for name, phase, node in (
        ("runs", "Running", "some-worker"),
        ("starts", "Pending", "some-worker"),
        ("waits", "Pending", None),
        ("ended", "Succeeded", "some-worker"),
        ("failed", "Failed", "some-worker"),
    ):
        create(name, phase, node)
    cluster = KubernetesCluster(await login(apiserver.kubeconfig()), lambda *_: None, fence=always_open())
    taken = await NodeUsage(cluster, lambda: START).taken()
    await cluster.close()
    assert taken is not None
    assert taken["some-worker", GPU] == 2
