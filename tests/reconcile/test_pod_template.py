"""A user's podTemplate in the reconciler: no call once it is applied, and whose fault a refused Deployment is."""

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.controller.cluster.protocol import ApiError, RejectedError
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator


async def test_a_pod_template_costs_no_call_once_it_is_applied(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    template = {"spec": {"priorityClassName": "serving", "containers": [{"name": "proxy", "image": "p"}]}}
    cluster.put(factories.service(podTemplate=template))
    await operator.run()
    cluster.calls.clear()
    operator.queue.add(KEY)
    await operator.run()
    assert cluster.calls == []


UNKNOWN_FIELD = ApiError(
    500,
    "Status500",
    "failed to create typed patch object: .spec.template.spec.nodeSelektor: field not declared in schema",
)
INVALID_VALUE = RejectedError(
    422, "Invalid", "containers[1].image: Required value", causes=frozenset({"spec.template.spec.containers[1].image"})
)
ELSEWHERE = RejectedError(422, "Invalid", "spec.replicas: Invalid", causes=frozenset({"spec.replicas"}))
WEBHOOK = ApiError(500, "InternalError", "failed calling webhook policy.example")


@pytest.mark.parametrize(
    ("template", "error", "reason"),
    [
        ({"spec": {}}, UNKNOWN_FIELD, "PodTemplateInvalid"),
        ({"spec": {}}, INVALID_VALUE, "PodTemplateInvalid"),
        ({"spec": {}}, ELSEWHERE, "ChildRefused"),
        ({"spec": {}}, WEBHOOK, "ChildRefused"),
        (None, INVALID_VALUE, "ChildRefused"),
    ],
)
async def test_a_refused_deployment_is_the_pod_templates_fault_only_where_the_server_names_it(
    cluster: InMemoryCluster, operator: RunningOperator, template: Object | None, error: ApiError, reason: str
) -> None:
    cluster.fail_until_healed("apply", error, kinds.DEPLOYMENT)
    cluster.put(factories.service(podTemplate=template))
    await operator.run()
    accepted = condition(cluster, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    assert error.message in accepted["message"]


async def test_a_wrong_pod_template_is_not_tried_again_until_it_changes(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.fail_until_healed("apply", UNKNOWN_FIELD, kinds.DEPLOYMENT)
    cluster.put(factories.service(podTemplate={"spec": {"nodeSelektor": {}}}))
    await operator.run()
    cluster.calls.clear()
    await operator.run(for_s=120)
    assert [call for call in cluster.calls if call.verb == "apply"] == []
    cluster.heal()
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].pop("podTemplate"))
    await operator.run(for_s=1)
    assert condition(cluster, "Accepted")["status"] == "True"
