"""Children that the cluster refuses."""

import pytest

from modelyard.api import kinds
from modelyard.controller.cluster.protocol import ApiError, ForbiddenError, RejectedError
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator


@pytest.mark.parametrize(
    "error",
    [
        RejectedError(422, "Invalid", "spec.ports[0].port: too large"),
        ForbiddenError(403, "Forbidden", "exceeded quota: services"),
        ApiError(500, "InternalError", "failed calling webhook policy.example"),
    ],
)
async def test_a_child_that_the_cluster_refuses_is_reported_and_tried_again_within_a_minute(
    cluster: InMemoryCluster, operator: RunningOperator, error: ApiError
) -> None:
    cluster.fail_until_healed("apply", error, kinds.SERVICE)
    cluster.put(factories.service())
    await operator.run(for_s=5)
    accepted = condition(cluster, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ChildRefused")
    assert error.message in accepted["message"]
    assert cluster.see(kinds.DEPLOYMENT, KEY) is None
    cluster.heal()
    await operator.run(for_s=60)
    assert cluster.see(kinds.DEPLOYMENT, KEY) is not None
    assert condition(cluster, "Accepted")["status"] == "True"


async def test_a_refusal_that_lasts_is_logged_once_with_its_cause(
    cluster: InMemoryCluster, operator: RunningOperator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "modelyard")
    cluster.fail_until_healed("apply", RejectedError(422, "Invalid", "spec.ports[0].port: too large"), kinds.SERVICE)
    cluster.put(factories.service())
    await operator.run(for_s=200)
    assert len([call for call in cluster.calls if call.verb == "apply"]) > 3
    (line,) = caplog.records
    assert line.getMessage() == "status changed"
    assert "too large" in vars(line)["because_of"]


async def test_a_namespace_that_is_being_deleted_is_no_refusal_and_no_reason_to_warn(
    cluster: InMemoryCluster, operator: RunningOperator, caplog: pytest.LogCaptureFixture
) -> None:
    going = ForbiddenError(403, "Forbidden", "is being terminated", causes=frozenset({"NamespaceTerminating"}))
    cluster.fail_until_healed("apply", going)
    cluster.fail_until_healed("create_event", going)
    cluster.put(factories.service())
    await operator.run()
    assert condition(cluster, "Accepted")["reason"] != "ChildRefused"
    assert operator.failures == []
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


async def test_a_child_that_the_cluster_does_not_delete_is_reported(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    cluster.fail_until_healed("delete", ForbiddenError(403, "Forbidden", "admission webhook keep denied the request"))
    cluster.put(factories.child(kinds.SERVICE, name="smollm-former", uid="former"))
    await serving.run(for_s=1)
    assert serving.failures == []
    accepted = condition(cluster, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ChildRefused")
    assert "the deletion of Service smollm-former: admission webhook keep denied the request" in accepted["message"]

    cluster.heal()
    await serving.run(for_s=60)
    assert [body["metadata"]["name"] for body in cluster.see_all(kinds.SERVICE)] == ["smollm"]
