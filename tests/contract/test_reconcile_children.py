"""What becomes of the children of a service: made, left alone, repaired, pruned; and others' objects never touched."""

from collections.abc import Callable

import pytest

from modelyard import kinds, names
from modelyard.api.service import Key, Object
from modelyard.cluster import ApiError, ForbiddenError, RejectedError
from modelyard.kinds import Kind
from modelyard.settings import Settings
from tests.support import factories
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.inference_services import EVERY_CHILD
from tests.support.running_operator import RunningOperator

KEY = Key("team-a", "smollm")


@pytest.fixture
def cluster() -> InMemoryCluster:
    return InMemoryCluster()


@pytest.fixture
def operator(cluster: InMemoryCluster) -> RunningOperator:
    return RunningOperator(cluster)


async def served(cluster: InMemoryCluster, operator: RunningOperator) -> Object:
    """A service whose children exist, with the record of calls emptied."""
    service = cluster.put(factories.service(**EVERY_CHILD))
    await operator.run()
    cluster.calls.clear()
    return service


def condition(cluster: InMemoryCluster, type_: str) -> Object:
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    return next(c for c in service["status"]["conditions"] if c["type"] == type_)


async def test_a_new_service_gets_its_children_in_order(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    service = cluster.put(factories.service(**EVERY_CHILD))
    await operator.run()
    assert [call.kind for call in cluster.calls if call.verb == "apply"] == list(kinds.CHILDREN)
    for kind in kinds.CHILDREN:
        child = cluster.see(kind, KEY)
        assert child is not None
        assert child["metadata"]["ownerReferences"][0]["uid"] == service["metadata"]["uid"]


async def test_nothing_is_written_when_nothing_changed(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    await served(cluster, operator)
    await operator.resync()
    await operator.run()
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
    cluster: InMemoryCluster, operator: RunningOperator, kind: Kind, change: Callable[[Object], None]
) -> None:
    await served(cluster, operator)
    intact = cluster.see(kind, KEY)
    cluster.edit(kind, KEY, change)
    await operator.run(for_s=1)
    repaired = cluster.see(kind, KEY)
    assert intact is not None
    assert repaired is not None
    assert repaired["spec"] == intact["spec"]
    assert repaired["metadata"]["labels"] == intact["metadata"]["labels"]
    assert repaired["metadata"]["ownerReferences"] == intact["metadata"]["ownerReferences"]
    assert [(call.verb, call.kind) for call in cluster.writes if call.verb == "apply"] == [("apply", kind)]


async def test_a_repair_is_told_as_an_event_and_our_own_changes_are_not(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await served(cluster, operator)

    def scale(body: Object) -> None:
        body["spec"]["replicas"] = 2

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, scale)
    await operator.run(for_s=1)
    assert not [event for event in cluster.events if event["reason"] == "Repaired"]
    cluster.edit(kinds.DEPLOYMENT, KEY, other_replicas)
    await operator.run(for_s=1)
    [told] = [event for event in cluster.events if event["reason"] == "Repaired"]
    assert told["type"] == "Warning"
    assert "changed spec.replicas of Deployment smollm: set back. Change the InferenceService instead" in told["note"]
    assert "an autoscaler, too, has to name it as its target" in told["note"]
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 2


async def test_a_child_that_an_apply_cannot_repair_is_overwritten(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await served(cluster, operator)
    cluster.fail_next("apply", RejectedError(422, "Invalid", "spec.ports[1].name: Duplicate value"), kinds.SERVICE)
    cluster.edit(kinds.SERVICE, KEY, other_port)
    await operator.run(for_s=1)
    repaired = cluster.see(kinds.SERVICE, KEY)
    assert repaired is not None
    assert repaired["spec"]["ports"][0]["port"] == 80
    assert [call.verb for call in cluster.writes if call.kind == kinds.SERVICE] == ["apply", "overwrite"]


@pytest.mark.parametrize("kind", kinds.CHILDREN)
async def test_a_deleted_child_comes_back(cluster: InMemoryCluster, operator: RunningOperator, kind: Kind) -> None:
    await served(cluster, operator)
    cluster.remove(kind, KEY)
    await operator.run(for_s=1)
    assert cluster.see(kind, KEY) is not None


async def test_a_deleted_service_is_forgotten_and_its_children_are_not_made_again(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await served(cluster, operator)
    cluster.remove(kinds.INFERENCE_SERVICE, KEY)
    await operator.run(for_s=120)
    assert cluster.writes == []
    assert all(cluster.see_all(kind) == [] for kind in kinds.CHILDREN)


async def test_a_service_that_is_being_deleted_gets_no_children(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await served(cluster, operator)

    def delete_in_the_foreground(body: Object) -> None:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, delete_in_the_foreground)
    cluster.remove(kinds.DEPLOYMENT, KEY)
    await operator.run(for_s=120)
    assert cluster.see(kinds.DEPLOYMENT, KEY) is None
    assert condition(cluster, "Ready")["reason"] == "Deleting"


@pytest.mark.parametrize("kind", kinds.CHILDREN)
async def test_an_object_of_somebody_else_is_left_alone_and_said(
    cluster: InMemoryCluster, operator: RunningOperator, kind: Kind
) -> None:
    foreign = cluster.put(factories.child(kind, owner_uid=None, service_label=None, spec={"theirs": True}))
    cluster.put(factories.service(**EVERY_CHILD))
    await operator.run()
    assert cluster.see(kind, KEY) == foreign
    assert [call.verb for call in cluster.writes if call.verb == "apply"] == []
    accepted = condition(cluster, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NameTaken")
    assert f"{kind.kind} smollm" in accepted["message"]


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


async def test_an_orphan_is_adopted_and_said(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    service = await served(cluster, operator)

    def orphan(body: Object) -> None:
        del body["metadata"]["ownerReferences"]

    for kind in kinds.CHILDREN:
        cluster.edit(kind, KEY, orphan)
    cluster.remove(kinds.INFERENCE_SERVICE, KEY)
    await operator.run()
    again = factories.service(uid="uid-of-the-second", **EVERY_CHILD)
    cluster.put(again)
    await operator.run()
    assert service["metadata"]["uid"] != "uid-of-the-second"
    for kind in kinds.CHILDREN:
        child = cluster.see(kind, KEY)
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


async def test_a_child_that_is_no_longer_wanted_is_pruned(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    await served(cluster, operator)
    cluster.put(factories.child(kinds.SERVICE, name="smollm-former", uid="former"))
    await operator.run(for_s=1)
    assert [body["metadata"]["name"] for body in cluster.see_all(kinds.SERVICE)] == ["smollm"]
    assert [call.verb for call in cluster.writes] == ["delete"]


async def test_a_child_that_the_cluster_does_not_let_go_is_told_of(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await served(cluster, operator)
    cluster.fail_until_healed("delete", ForbiddenError(403, "Forbidden", "admission webhook keep denied the request"))
    cluster.put(factories.child(kinds.SERVICE, name="smollm-former", uid="former"))
    await operator.run(for_s=1)
    assert operator.failures == []
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    accepted = next(found for found in service["status"]["conditions"] if found["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "ChildRefused")
    assert "the deletion of Service smollm-former: admission webhook keep denied the request" in accepted["message"]

    cluster.heal()
    await operator.run(for_s=60)
    assert [body["metadata"]["name"] for body in cluster.see_all(kinds.SERVICE)] == ["smollm"]


async def test_a_child_that_goes_already_is_not_deleted_again(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await served(cluster, operator)
    former = factories.child(kinds.SERVICE, name="smollm-former", uid="former")
    former["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster.put(former)
    await operator.run(for_s=1)
    assert cluster.writes == []


@pytest.mark.parametrize(
    "unwanted",
    [
        factories.child(kinds.SERVICE, name="unowned", uid="unowned", owner_uid=None),
        factories.child(kinds.SERVICE, name="theirs", uid="theirs", owner_uid="uid-of-another"),
    ],
)
async def test_what_the_service_does_not_own_is_never_pruned(
    cluster: InMemoryCluster, operator: RunningOperator, unwanted: Object
) -> None:
    await served(cluster, operator)
    cluster.put(unwanted)
    await operator.run(for_s=1)
    assert cluster.writes == []


async def test_a_late_cache_never_deletes_what_is_somebody_elses_by_now(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    former = cluster.put(factories.child(kinds.SERVICE, name="smollm-former"))
    operator.hear()
    cluster.remove(kinds.SERVICE, Key("team-a", "smollm-former"))
    theirs = factories.child(kinds.SERVICE, name="smollm-former", uid="theirs", owner_uid=None, service_label=None)
    cluster.put(theirs)
    await operator.run()
    kept = cluster.see(kinds.SERVICE, Key("team-a", "smollm-former"))
    assert kept is not None
    assert kept["metadata"]["uid"] == "theirs"
    assert former["metadata"]["uid"] != "theirs"
    assert "delete" not in [call.verb for call in cluster.writes]


async def test_a_child_that_was_replaced_by_somebody_elses_is_not_written_over(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    operator.hear()
    await operator.run()
    operator.hear()
    cluster.remove(kinds.DEPLOYMENT, KEY)
    theirs = cluster.put(factories.child(kinds.DEPLOYMENT, uid="theirs", owner_uid=None, service_label=None))
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=2))
    operator.hear([2])  # the service's change is heard before what happened to the child
    await operator.run()
    assert cluster.see(kinds.DEPLOYMENT, KEY) == theirs


async def test_what_was_just_written_is_known_before_the_watch_tells_of_it(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster, watches=False)
    cluster.put(factories.service())
    operator.hear()
    await operator.run()
    cluster.calls.clear()
    operator.queue.add(KEY)
    await operator.run()
    assert cluster.calls == []


async def test_a_deployment_that_the_watch_lost_sight_of_keeps_its_record(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    await served(cluster, operator)
    before = cluster.see(kinds.DEPLOYMENT, KEY)
    assert before is not None
    operator.cache.delete(kinds.DEPLOYMENT, before)
    restarted = RunningOperator(cluster, settings=Settings(fetch_image="registry.example/modelyard-fetch:2"))
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    restarted.cache.upsert(kinds.INFERENCE_SERVICE, service)
    restarted.queue.add(KEY)
    await restarted.run()
    after = cluster.see(kinds.DEPLOYMENT, KEY)
    assert after is not None
    assert after["spec"]["template"] == before["spec"]["template"]


@pytest.mark.parametrize(
    "error",
    [
        RejectedError(422, "Invalid", "spec.ports[0].port: too large"),
        ForbiddenError(403, "Forbidden", "exceeded quota: services"),
        ApiError(500, "InternalError", "failed calling webhook policy.example"),
    ],
)
async def test_a_child_that_the_cluster_refuses_is_said_and_tried_again_within_a_minute(
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
