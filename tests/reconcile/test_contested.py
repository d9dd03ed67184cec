"""A child that another writer keeps changing: neither side wears out the cluster, and the status reports it."""

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Object
from modelyard.controller.reconcile.revert_limits import UNHINDERED
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator


def other_replicas(body: Object) -> None:
    body["spec"]["replicas"] = 7


async def test_a_child_that_keeps_being_changed_is_reverted_once_a_minute_and_that_is_reported(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    def applies() -> int:
        return len([call for call in cluster.writes if (call.verb, call.kind) == ("apply", kinds.DEPLOYMENT)])

    def fight(type_: str, kind: Kind, body: Object) -> None:
        """As an HPA on the Deployment that answers each repair at once."""
        notify(type_, kind, body)
        if kind == kinds.DEPLOYMENT and body["spec"]["replicas"] != 7:
            cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)

    notify, cluster.on_change = cluster.on_change, fight
    cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)
    await serving.run(for_s=300)
    assert UNHINDERED + 3 <= applies() <= UNHINDERED + 5
    accepted = condition(cluster, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "Contested")
    assert "spec.replicas of Deployment smollm" in accepted["message"]
    assert len([event for event in cluster.events if event["reason"] in {"Repaired", "Contested"}]) == 2

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=7))
    await serving.run(for_s=1)
    before = applies()
    await serving.run(for_s=700)
    assert applies() == before
    assert condition(cluster, "Accepted")["reason"] == "Accepted"


async def test_a_contested_child_adopts_a_change_of_its_spec_at_once(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    for _ in range(UNHINDERED + 1):
        cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)
        await serving.run(for_s=1)
    assert condition(cluster, "Accepted")["reason"] == "Contested"
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=3))
    await serving.run(for_s=1)
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 3
