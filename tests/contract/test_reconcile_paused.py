"""A service that is to be left alone."""

import pytest

from modelyard import kinds, names
from modelyard.api.service import Key, Object
from tests.support import factories
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator

KEY = Key("team-a", "smollm")


@pytest.fixture
def cluster() -> InMemoryCluster:
    return InMemoryCluster()


@pytest.fixture
async def operator(cluster: InMemoryCluster) -> RunningOperator:
    """An operator that has served a service, with the record of calls emptied."""
    made = RunningOperator(cluster)
    cluster.put(factories.service())
    await made.run()
    cluster.calls.clear()
    return made


def other_replicas(body: Object) -> None:
    body["spec"]["replicas"] = 7


def reason_of(cluster: InMemoryCluster, type_: str) -> str:
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    return next(str(found["reason"]) for found in service["status"]["conditions"] if found["type"] == type_)


async def test_a_paused_service_is_left_as_it_is_until_it_goes_on(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    def pause(body: Object) -> None:
        body["metadata"]["annotations"] = {names.ANNOTATION_PAUSED: "true"}

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, pause)
    await operator.run(for_s=1)
    assert reason_of(cluster, "Accepted") == "Paused"
    cluster.calls.clear()
    cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)
    cluster.remove(kinds.SERVICE, KEY)
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=3))
    await operator.resync()
    await operator.run(for_s=60)
    assert {call.verb for call in cluster.writes} <= {"patch_status", "create_event"}
    assert cluster.see(kinds.SERVICE, KEY) is None

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["metadata"].pop("annotations"))
    await operator.run(for_s=1)
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 3
    assert cluster.see(kinds.SERVICE, KEY) is not None
    assert reason_of(cluster, "Accepted") == "Accepted"


async def test_refused_pods_of_a_paused_service_are_not_tried_again(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.edit(
        kinds.INFERENCE_SERVICE,
        KEY,
        lambda body: body["metadata"].update(annotations={names.ANNOTATION_PAUSED: "true"}),
    )
    await operator.run()
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
    cluster.edit(kinds.DEPLOYMENT, KEY, lambda body: body.update(status={"conditions": [failure]}))
    await operator.run(for_s=90)
    assert reason_of(cluster, "Ready") == "QuotaExceeded"
    assert {call.verb for call in cluster.writes} <= {"patch_status", "create_event"}


async def test_a_paused_service_writes_nothing_more_once_its_status_says_so(
    cluster: InMemoryCluster,
) -> None:
    operator = RunningOperator(cluster)
    cluster.put(factories.service(annotations={names.ANNOTATION_PAUSED: "true"}))
    await operator.run(for_s=1)
    assert [call.verb for call in cluster.writes] == ["patch_status", "create_event"]
    assert reason_of(cluster, "Ready") == "Paused"
    cluster.calls.clear()
    await operator.resync()
    await operator.run(for_s=600)
    assert cluster.writes == []
