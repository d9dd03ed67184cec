"""A child that was changed or deleted is restored."""

from collections.abc import Callable

import pytest

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.controller.cluster.protocol import RejectedError
from tests.support.conditions import KEY, place_of_child
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator


def other_replicas(body: Object) -> None:
    body["spec"]["replicas"] = 7


def other_port(body: Object) -> None:
    body["spec"]["ports"][0]["port"] = 8080


def no_budget(body: Object) -> None:
    del body["spec"]["maxUnavailable"]


def another_budget(body: Object) -> None:
    body["spec"]["minAvailable"] = body["spec"].pop("maxUnavailable")


def paused(body: Object) -> None:
    body["spec"]["paused"] = True


def no_owner(body: Object) -> None:
    del body["metadata"]["ownerReferences"]


def no_labels(body: Object) -> None:
    body["metadata"]["labels"] = {names.LABEL_APP_MANAGED_BY: names.APPLICATION, names.LABEL_SERVICE: "smollm"}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (kinds.DEPLOYMENT, other_replicas),
        (kinds.SERVICE, other_port),
        (kinds.POD_DISRUPTION_BUDGET, no_budget),
        (kinds.POD_DISRUPTION_BUDGET, another_budget),
        (kinds.DEPLOYMENT, paused),
        (kinds.SERVICE, no_owner),
        (kinds.DEPLOYMENT, no_labels),
    ],
)
async def test_an_edited_child_is_repaired(
    cluster: InMemoryCluster, serving: RunningOperator, kind: Kind, change: Callable[[Object], None]
) -> None:
    intact = cluster.see(kind, KEY)
    cluster.edit(kind, KEY, change)
    await serving.run(for_s=1)
    repaired = cluster.see(kind, KEY)
    assert intact is not None
    assert repaired is not None
    assert repaired["spec"] == intact["spec"]
    assert repaired["metadata"]["labels"] == intact["metadata"]["labels"]
    assert repaired["metadata"]["ownerReferences"] == intact["metadata"]["ownerReferences"]
    assert [(call.verb, call.kind) for call in cluster.writes if call.verb == "apply"] == [("apply", kind)]


async def test_a_repair_is_reported_as_an_event_and_our_own_changes_are_not(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    def scale(body: Object) -> None:
        body["spec"]["replicas"] = 2

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, scale)
    await serving.run(for_s=1)
    assert not [event for event in cluster.events if event["reason"] == "Repaired"]
    cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)
    await serving.run(for_s=1)
    [repaired] = [event for event in cluster.events if event["reason"] == "Repaired"]
    assert repaired["type"] == "Warning"
    assert (
        "Reverted another writer's change to spec.replicas of Deployment smollm. Change the InferenceService instead"
        in repaired["note"]
    )
    assert "autoscalers must target it too" in repaired["note"]
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 2


async def test_a_child_that_an_apply_cannot_repair_is_overwritten(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    cluster.fail_next("apply", RejectedError(422, "Invalid", "spec.ports[1].name: Duplicate value"), kinds.SERVICE)
    cluster.edit(kinds.SERVICE, KEY, other_port)
    await serving.run(for_s=1)
    repaired = cluster.see(kinds.SERVICE, KEY)
    assert repaired is not None
    assert repaired["spec"]["ports"][0]["port"] == 80
    assert [call.verb for call in cluster.writes if call.kind == kinds.SERVICE] == ["apply", "overwrite"]


@pytest.mark.parametrize("kind", kinds.CHILDREN)
async def test_a_deleted_child_comes_back(cluster: InMemoryCluster, serving: RunningOperator, kind: Kind) -> None:
    cluster.remove(kind, place_of_child(kind))
    await serving.run(for_s=1)
    assert cluster.see(kind, place_of_child(kind)) is not None
