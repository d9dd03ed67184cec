"""Whose an object is: others' are never touched, orphans are adopted, and a predecessor's are waited for."""

import pytest

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object
from tests.support import factories
from tests.support.conditions import KEY, condition, place_of_child
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.inference_services import EVERY_CHILD, child_name
from tests.support.running_operator import RunningOperator


@pytest.mark.parametrize("kind", kinds.CHILDREN)
async def test_an_object_of_another_owner_is_left_alone_and_reported(
    cluster: InMemoryCluster, operator: RunningOperator, kind: Kind
) -> None:
    foreign = cluster.put(
        factories.child(
            kind, name=child_name(kind, "smollm"), owner_uid=None, service_label=None, spec={"theirs": True}
        )
    )
    cluster.put(factories.service(**EVERY_CHILD))
    await operator.run()
    assert cluster.see(kind, place_of_child(kind)) == foreign
    assert [call.verb for call in cluster.writes if call.verb == "apply"] == []
    accepted = condition(cluster, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NameTaken")
    assert f"{kind.kind} {child_name(kind, 'smollm')} already exists" in accepted["message"]


async def test_a_name_that_becomes_free_is_taken_within_a_minute(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    foreign = factories.child(kinds.SERVICE, owner_uid=None, service_label=None)
    del foreign["metadata"]["labels"]
    cluster.put(foreign)
    cluster.put(factories.service())
    await operator.run()
    cluster.remove(kinds.SERVICE, KEY)
    await operator.run(for_s=60)
    assert condition(cluster, "Accepted")["status"] == "True"


async def test_an_orphan_is_adopted_and_reported(cluster: InMemoryCluster, serving: RunningOperator) -> None:
    def orphan(body: Object) -> None:
        del body["metadata"]["ownerReferences"]

    for kind in kinds.CHILDREN:
        cluster.edit(kind, place_of_child(kind), orphan)
    cluster.remove(kinds.INFERENCE_SERVICE, KEY)
    await serving.run()
    again = factories.service(uid="uid-of-the-second", **EVERY_CHILD)
    cluster.put(again)
    await serving.run()
    for kind in kinds.CHILDREN:
        child = cluster.see(kind, place_of_child(kind))
        assert child is not None
        assert [owner["uid"] for owner in child["metadata"]["ownerReferences"]] == ["uid-of-the-second"]
    adopted = [event["note"] for event in cluster.events if event["reason"] == "Adopted"]
    assert len(adopted) == len(kinds.CHILDREN)


async def test_the_children_of_a_deleted_predecessor_are_waited_for(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    leftover = cluster.put(factories.child(kinds.DEPLOYMENT, owner_uid="uid-of-the-first", spec={"old": True}))
    cluster.put(factories.service(uid="uid-of-the-second"))
    await operator.run(for_s=10)
    assert cluster.see(kinds.DEPLOYMENT, KEY) == leftover
    cluster.remove(kinds.DEPLOYMENT, KEY)
    await operator.run(for_s=10)
    made = cluster.see(kinds.DEPLOYMENT, KEY)
    assert made is not None
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-of-the-second"


@pytest.mark.parametrize(
    "unwanted",
    [
        factories.child(kinds.SERVICE, name="unowned", uid="unowned", owner_uid=None),
        factories.child(kinds.SERVICE, name="theirs", uid="theirs", owner_uid="uid-of-another"),
    ],
)
async def test_what_the_service_does_not_own_is_never_pruned(
    cluster: InMemoryCluster, serving: RunningOperator, unwanted: Object
) -> None:
    cluster.put(unwanted)
    await serving.run(for_s=1)
    assert cluster.writes == []


async def test_a_late_cache_never_deletes_what_belongs_to_another_owner_by_now(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    former = cluster.put(factories.child(kinds.SERVICE, name="smollm-former"))
    operator.deliver()
    cluster.remove(kinds.SERVICE, Key("team-a", "smollm-former"))
    theirs = factories.child(kinds.SERVICE, name="smollm-former", uid="theirs", owner_uid=None, service_label=None)
    cluster.put(theirs)
    await operator.run()
    kept = cluster.see(kinds.SERVICE, Key("team-a", "smollm-former"))
    assert kept is not None
    assert kept["metadata"]["uid"] == "theirs"
    assert former["metadata"]["uid"] != "theirs"
    assert "delete" not in [call.verb for call in cluster.writes]


async def test_a_child_that_was_replaced_by_another_owners_is_not_overwritten(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    operator.deliver()
    await operator.run()
    operator.deliver()
    cluster.remove(kinds.DEPLOYMENT, KEY)
    theirs = cluster.put(factories.child(kinds.DEPLOYMENT, uid="theirs", owner_uid=None, service_label=None))
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=2))
    operator.deliver([2])  # the service's change arrives before what happened to the child
    await operator.run()
    assert cluster.see(kinds.DEPLOYMENT, KEY) == theirs
