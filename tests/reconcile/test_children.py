"""What becomes of the children of a service: made in order, left alone when nothing changed, pruned."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.api.settings import Settings
from tests.support import factories
from tests.support.conditions import KEY, condition, place_of_child
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.inference_services import EVERY_CHILD
from tests.support.running_operator import RunningOperator


async def test_a_new_service_gets_its_children_in_order(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    service = cluster.put(factories.service(**EVERY_CHILD))
    await operator.run()
    assert [call.kind for call in cluster.calls if call.verb == "apply"] == list(kinds.CHILDREN)
    for kind in kinds.CHILDREN:
        child = cluster.see(kind, place_of_child(kind))
        assert child is not None
        assert child["metadata"]["ownerReferences"][0]["uid"] == service["metadata"]["uid"]


async def test_nothing_is_written_when_nothing_changed(cluster: InMemoryCluster, serving: RunningOperator) -> None:
    await serving.resync()
    await serving.run()
    assert cluster.writes == []


async def test_a_restart_with_unchanged_services_writes_nothing(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    for number in range(20):
        cluster.put(factories.service(name=f"model-{number}", uid=f"uid-of-{number}"))
    await operator.run()
    cluster.calls.clear()
    restarted = RunningOperator(cluster)
    await restarted.resync()
    await restarted.run()
    assert cluster.writes == []


async def test_what_was_just_written_is_known_before_the_watch_delivers_it(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    operator.deliver()
    await operator.run()
    cluster.calls.clear()
    operator.queue.add(KEY)
    await operator.run()
    assert cluster.calls == []


async def test_a_deployment_that_the_watch_lost_sight_of_keeps_its_record(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    before = cluster.see(kinds.DEPLOYMENT, KEY)
    assert before is not None
    serving.cache.delete(kinds.DEPLOYMENT, before)
    restarted = RunningOperator(cluster, settings=Settings(fetch_image="registry.example/modelyard-fetch:2"))
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    restarted.cache.upsert(kinds.INFERENCE_SERVICE, service)
    restarted.queue.add(KEY)
    await restarted.run()
    after = cluster.see(kinds.DEPLOYMENT, KEY)
    assert after is not None
    assert after["spec"]["template"] == before["spec"]["template"]


async def test_a_deleted_service_is_forgotten_and_its_children_are_not_made_again(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    cluster.remove(kinds.INFERENCE_SERVICE, KEY)
    await serving.run(for_s=120)
    assert cluster.writes == []
    assert all(cluster.see_all(kind) == [] for kind in kinds.CHILDREN)


async def test_a_service_that_is_being_deleted_gets_no_children(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    def delete_in_the_foreground(body: Object) -> None:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, delete_in_the_foreground)
    cluster.remove(kinds.DEPLOYMENT, KEY)
    await serving.run(for_s=120)
    assert cluster.see(kinds.DEPLOYMENT, KEY) is None
    assert condition(cluster, "Ready")["reason"] == "Deleting"


async def test_a_child_that_is_no_longer_desired_is_pruned(cluster: InMemoryCluster, serving: RunningOperator) -> None:
    cluster.put(factories.child(kinds.SERVICE, name="smollm-former", uid="former"))
    await serving.run(for_s=1)
    assert [body["metadata"]["name"] for body in cluster.see_all(kinds.SERVICE)] == ["smollm"]
    assert [call.verb for call in cluster.writes] == ["delete"]


async def test_a_child_that_goes_already_is_not_deleted_again(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    former = factories.child(kinds.SERVICE, name="smollm-former", uid="former")
    former["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster.put(former)
    await serving.run(for_s=1)
    assert cluster.writes == []
