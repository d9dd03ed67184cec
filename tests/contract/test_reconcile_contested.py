"""A child that somebody keeps changing: neither side wears out the cluster, and the status says so."""

import pytest

from modelyard import kinds
from modelyard.api.service import Key, Object
from modelyard.kinds import Kind
from modelyard.repairs import UNHINDERED
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


def accepted(cluster: InMemoryCluster) -> Object:
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    return next(condition for condition in service["status"]["conditions"] if condition["type"] == "Accepted")


async def test_a_child_that_somebody_keeps_changing_is_set_back_once_a_minute_and_that_is_said(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    def applies() -> int:
        return len([call for call in cluster.writes if (call.verb, call.kind) == ("apply", kinds.DEPLOYMENT)])

    def fight(type_: str, kind: Kind, body: Object) -> None:
        """As an HPA on the Deployment that answers each repair at once."""
        hear(type_, kind, body)
        if kind == kinds.DEPLOYMENT and body["spec"]["replicas"] != 7:
            cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)

    hear, cluster.on_change = cluster.on_change, fight
    cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)
    await operator.run(for_s=300)
    assert UNHINDERED + 3 <= applies() <= UNHINDERED + 5
    told = accepted(cluster)
    assert (told["status"], told["reason"]) == ("True", "Contested")
    assert "spec.replicas of Deployment smollm" in told["message"]
    assert len([event for event in cluster.events if event["reason"] in {"Repaired", "Contested"}]) == 2

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=7))
    await operator.run(for_s=1)
    before = applies()
    await operator.run(for_s=700)
    assert applies() == before
    assert accepted(cluster)["reason"] == "Accepted"


async def test_a_contested_child_takes_what_its_user_asks_at_once(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    for _ in range(UNHINDERED + 1):
        cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)
        await operator.run(for_s=1)
    assert accepted(cluster)["reason"] == "Contested"
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=3))
    await operator.run(for_s=1)
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 3
