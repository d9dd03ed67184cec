"""A pod that waits for the node cache: how its node is checked for one, and what is reported then."""

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster, unavailable
from tests.support.running_operator import SETTINGS, RunningOperator

SEEN = "2026-01-01T00:16:40Z"
NOT_REGISTERED = (
    'MountVolume.SetUp failed for volume "cache" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: '
    f"driver name {names.CSI_DRIVER} not found in the list of registered CSI drivers"
)
SOMETHING_ELSE = 'MountVolume.SetUp failed for volume "ca-bundle" : configmap "ca" not found'


@pytest.fixture
def operator(cluster: InMemoryCluster) -> RunningOperator:
    return RunningOperator(cluster, settings=SETTINGS.running_in("modelyard-system"))


async def waiting(cluster: InMemoryCluster, operator: RunningOperator, message: str) -> None:
    """A service whose pod waits on its node for a volume, of which the kubelet posted this ``message``."""
    cluster.put(factories.service())
    await operator.run()
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    volumes = [{"name": names.VOLUME_CACHE, "csi": {"driver": names.CSI_DRIVER}}]
    status: Object = {"phase": "Pending", "startTime": SEEN}
    pod = factories.pod(spec={"nodeName": "worker", "volumes": volumes}, status=status)
    pod["metadata"]["annotations"] = deployment["spec"]["template"]["metadata"]["annotations"]
    event = {"reason": "FailedMount", "message": message, "lastTimestamp": SEEN}
    cluster.core_events["involvedObject.uid=uid-of-the-pod"] = (event,)
    cluster.put(pod)


def nodes_read(cluster: InMemoryCluster) -> list[str]:
    return [call.place.name for call in cluster.calls if call.kind == kinds.CSI_NODE]


def only_another_has_the_driver(cluster: InMemoryCluster, *, joined: str) -> None:
    cluster.put(factories.csi_node(names.CSI_DRIVER, name="another"))
    worker = factories.csi_node("ebs.csi.aws.com")
    worker["metadata"]["creationTimestamp"] = joined
    cluster.put(worker)
    cluster.put(factories.agent(node="another"))


async def test_an_old_node_without_the_driver_is_reported_soon(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await waiting(cluster, operator, NOT_REGISTERED)
    only_another_has_the_driver(cluster, joined="2025-12-31T00:00:00Z")
    await operator.run(for_s=60)
    assert condition(cluster, "Ready")["reason"] == "NoNodeCache"


async def test_a_node_that_just_joined_without_the_driver_is_reported_after_the_kubelets_longest_wait(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await waiting(cluster, operator, NOT_REGISTERED)
    only_another_has_the_driver(cluster, joined=SEEN)
    await operator.run(for_s=100)
    assert condition(cluster, "Ready")["reason"] == "Preparing"
    assert "waiting for the node's cache" in condition(cluster, "Ready")["message"]
    await operator.run(for_s=90)
    assert condition(cluster, "Ready")["reason"] == "NoNodeCache"
    assert set(nodes_read(cluster)) == {"worker"}


async def test_a_cluster_without_any_node_agent_is_reported_at_once(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await waiting(cluster, operator, NOT_REGISTERED)
    cluster.put(factories.agent(namespace="team-a"))  # any user may give a pod such labels
    await operator.run(for_s=60)
    assert "is not running on any node" in condition(cluster, "Ready")["message"]


async def test_an_installation_that_does_not_see_the_agents_claims_nothing_of_the_whole_cluster(
    cluster: InMemoryCluster,
) -> None:
    settings = SETTINGS.running_in("modelyard-team-a").model_copy(update={"namespaces": ("team-a",)})
    operator = RunningOperator(cluster, settings=settings)
    await waiting(cluster, operator, NOT_REGISTERED)
    await operator.run(for_s=60)
    assert condition(cluster, "Ready")["reason"] == "Preparing"


async def test_a_driver_that_came_meanwhile_is_waited_for(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    await waiting(cluster, operator, NOT_REGISTERED)
    cluster.put(factories.csi_node(names.CSI_DRIVER))
    await operator.run(for_s=300)
    assert condition(cluster, "Ready")["reason"] == "Preparing"
    assert "the node's cache has started" in condition(cluster, "Ready")["message"]


async def test_another_failure_reads_no_csi_nodes(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    await waiting(cluster, operator, SOMETHING_ELSE)
    await operator.run(for_s=120)
    assert condition(cluster, "Ready")["reason"] == "ConfigMapMissing"
    assert nodes_read(cluster) == []


async def test_drivers_of_a_node_that_cannot_be_read_are_read_again(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await waiting(cluster, operator, NOT_REGISTERED)
    cluster.put(factories.agent(node="another"))
    cluster.fail_next("get", unavailable(), kinds.CSI_NODE)
    await operator.run(for_s=240)
    assert condition(cluster, "Ready")["reason"] == "NoNodeCache"
    assert len(operator.failures) == 1
