"""One service serves one content: what its first pod verified is kept, and every later pod is held to it."""

from typing import Any

from modelyard.api import kinds
from modelyard.api.inference_service import Model
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import content_pin
from tests.support import factories
from tests.support.conditions import KEY, place_of_child
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.observed import ended
from tests.support.running_operator import RunningOperator

ONE, OTHER = (f"sha256:{digit * 64}" for digit in "12")
PLACE = place_of_child(kinds.CONFIG_MAP)


def model(**fields: str) -> Object:
    return {"uri": "s3://models/smollm2-135m", **fields}


def key(**fields: str) -> str:
    return content_pin.key(Model.model_validate(model(**fields)))


def pod_that_verified(digest: str, *, name: str = "smollm-0", of_key: str = key()) -> Object:
    """A pod of that revision whose fetcher ended well with this content."""
    terminated = ended(0, f'{{"phase": "Done", "digest": "{digest}"}}')
    fetcher = {"name": names.CONTAINER_FETCH, "env": [{"name": names.ENV_REVISION_KEY, "value": of_key}]}
    return factories.pod(
        name=name,
        uid=f"uid-of-{name}",
        spec={"initContainers": [fetcher]},
        status={"initContainerStatuses": [{"name": names.CONTAINER_FETCH, "state": terminated}]},
    )


def contents(cluster: InMemoryCluster) -> Any:
    found = cluster.see(kinds.CONFIG_MAP, PLACE)
    assert found is not None
    return found["data"]


async def test_what_the_first_pod_verified_is_kept(cluster: InMemoryCluster, serving: RunningOperator) -> None:
    assert contents(cluster) == {}
    cluster.put(pod_that_verified(ONE))
    await serving.run()
    assert contents(cluster) == {key(): ONE}
    assert [call.kind for call in cluster.writes if call.verb == "apply"] == [kinds.CONFIG_MAP]


async def test_what_is_kept_never_changes_whatever_later_pods_report(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    cluster.put(pod_that_verified(ONE))
    await serving.run()
    cluster.remove(kinds.POD, KEY._replace(name="smollm-0"))
    cluster.put(pod_that_verified(OTHER, name="smollm-1"))
    await serving.run()
    await serving.resync()
    await serving.run()
    assert contents(cluster) == {key(): ONE}


async def test_a_new_revision_has_a_content_of_its_own_and_a_rollback_the_former(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    cluster.put(pod_that_verified(ONE))
    await serving.run()
    cluster.put(factories.service(model=model(revision="2"), generation=2, resource_version="900"))
    cluster.put(pod_that_verified(OTHER, name="smollm-1", of_key=key(revision="2")))
    await serving.run()
    assert contents(cluster) == {key(): ONE, key(revision="2"): OTHER}


async def test_before_something_is_added_the_config_map_is_looked_at_as_it_is_now(cluster: InMemoryCluster) -> None:
    """A watch that is late by a moment would have what another leader wrote replaced."""
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    await operator.resync()
    await operator.run()
    await operator.resync()

    def written_by_another(body: Object) -> None:
        body["data"] = {key(): ONE}

    cluster.edit(kinds.CONFIG_MAP, PLACE, written_by_another)
    operator.cache.upsert(kinds.POD, cluster.put(pod_that_verified(OTHER)))
    operator.queue.add(KEY)
    await operator.run()
    assert contents(cluster) == {key(): ONE}


async def test_one_that_is_deleted_is_made_again_from_what_pods_report(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    cluster.put(pod_that_verified(ONE))
    await serving.run()
    cluster.remove(kinds.CONFIG_MAP, PLACE)
    await serving.run()
    assert contents(cluster) == {key(): ONE}


async def test_one_of_another_owner_does_not_count(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    theirs = factories.child(kinds.CONFIG_MAP, name=PLACE.name, owner_uid="theirs", data={key(): OTHER})
    cluster.put(theirs)
    cluster.put(factories.service())
    await operator.run()
    assert [call for call in cluster.writes if call.verb == "apply"] == []


async def test_a_service_that_keeps_no_content_costs_no_look_at_it(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(model={"uri": "pvc://claim/folder"}))
    await operator.run()
    assert [call for call in cluster.calls if call.kind == kinds.CONFIG_MAP and call.verb == "get"] == []
