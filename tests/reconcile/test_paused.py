"""A service that is to be left alone."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator


def other_replicas(body: Object) -> None:
    body["spec"]["replicas"] = 7


async def test_a_paused_service_is_left_as_it_is_until_it_goes_on(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    def pause(body: Object) -> None:
        body["metadata"]["annotations"] = {names.ANNOTATION_PAUSED: "true"}

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, pause)
    await serving.run(for_s=1)
    assert condition(cluster, "Accepted")["reason"] == "Paused"
    cluster.calls.clear()
    cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)
    cluster.remove(kinds.SERVICE, KEY)
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=3))
    await serving.resync()
    await serving.run(for_s=60)
    assert {call.verb for call in cluster.writes} <= {"patch_status", "create_event"}
    assert cluster.see(kinds.SERVICE, KEY) is None

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["metadata"].pop("annotations"))
    await serving.run(for_s=1)
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 3
    assert cluster.see(kinds.SERVICE, KEY) is not None
    assert condition(cluster, "Accepted")["reason"] == "Accepted"


async def test_refused_pods_of_a_paused_service_are_not_tried_again(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    cluster.edit(
        kinds.INFERENCE_SERVICE,
        KEY,
        lambda body: body["metadata"].update(annotations={names.ANNOTATION_PAUSED: "true"}),
    )
    await serving.run()
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
    cluster.edit(kinds.DEPLOYMENT, KEY, lambda body: body.update(status={"conditions": [failure]}))
    await serving.run(for_s=90)
    assert condition(cluster, "Ready")["reason"] == "QuotaExceeded"
    assert {call.verb for call in cluster.writes} <= {"patch_status", "create_event"}


async def test_a_paused_service_writes_nothing_more_once_its_status_reports_it(
    cluster: InMemoryCluster,
) -> None:
    operator = RunningOperator(cluster)
    cluster.put(factories.service(annotations={names.ANNOTATION_PAUSED: "true"}))
    await operator.run(for_s=1)
    assert [call.verb for call in cluster.writes] == ["patch_status", "create_event"]
    assert condition(cluster, "Ready")["reason"] == "Paused"
    cluster.calls.clear()
    await operator.resync()
    await operator.run(for_s=600)
    assert cluster.writes == []
