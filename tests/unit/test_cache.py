"""The cache holds the newest state of each object, whatever the order in which states arrive."""

import itertools

import pytest

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.dispatch import watch
from modelyard.controller.dispatch.workqueue import WorkQueue
from tests.support import factories
from tests.support.clock import FakeClock

KEY = Key("team-a", "smollm")


@pytest.fixture
def cache() -> Cache:
    return Cache()


def versions(cache: Cache) -> dict[str, str]:
    return {body["metadata"]["name"]: body["metadata"]["resourceVersion"] for body in cache.all_of(kinds.DEPLOYMENT)}


def test_an_older_version_never_replaces_a_newer_one(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="10"))
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="9"))
    assert versions(cache) == {"smollm": "10"}


def test_a_recreated_object_replaces_its_predecessor(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child(uid="first", resource_version="10"))
    cache.upsert(kinds.DEPLOYMENT, factories.child(uid="second", resource_version="12"))
    cache.delete(kinds.DEPLOYMENT, factories.child(uid="first", resource_version="11"))
    assert versions(cache) == {"smollm": "12"}


def test_a_late_answer_does_not_bring_back_what_was_deleted(cache: Cache) -> None:
    cache.delete(kinds.DEPLOYMENT, factories.child(resource_version="11"))
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="10"))
    assert versions(cache) == {}


def test_an_object_that_lost_our_label_and_got_it_back_is_known_again(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="10"))
    cache.delete(kinds.DEPLOYMENT, factories.child(resource_version="11"))
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="12"))
    assert versions(cache) == {"smollm": "12"}


def test_a_list_removes_what_it_does_not_hold(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child(name="ghost", uid="ghost", resource_version="5"))
    cache.replace_all(kinds.DEPLOYMENT, [factories.child(resource_version="7")], "20")
    assert versions(cache) == {"smollm": "7"}


def test_events_that_arrive_during_a_list_hold_after_it(cache: Cache) -> None:
    listed = [
        factories.child(name="changed", uid="changed", resource_version="5"),
        factories.child(name="deleted", uid="deleted", resource_version="6"),
    ]
    cache.upsert(kinds.DEPLOYMENT, factories.child(name="changed", uid="changed", resource_version="21"))
    cache.upsert(kinds.DEPLOYMENT, factories.child(name="created", uid="created", resource_version="22"))
    cache.delete(kinds.DEPLOYMENT, factories.child(name="deleted", uid="deleted", resource_version="23"))
    cache.replace_all(kinds.DEPLOYMENT, listed, "20")
    assert versions(cache) == {"changed": "21", "created": "22"}


def test_a_late_answer_after_a_list_does_not_bring_back_what_was_deleted_during_it(cache: Cache) -> None:
    cache.delete(kinds.DEPLOYMENT, factories.child(resource_version="23"))
    cache.replace_all(kinds.DEPLOYMENT, [], "20")
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="22"))
    assert versions(cache) == {}


def test_a_list_counts_the_objects_that_the_watch_has_not_delivered(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child(name="known", uid="known", resource_version="5"))
    cache.upsert(kinds.DEPLOYMENT, factories.child(name="stale", uid="stale", resource_version="6"))
    cache.delete(kinds.DEPLOYMENT, factories.child(name="deleted", uid="deleted", resource_version="9"))
    listed = [
        factories.child(name="known", uid="known", resource_version="5"),
        factories.child(name="stale", uid="stale", resource_version="8"),
        factories.child(name="missed", uid="missed", resource_version="7"),
        factories.child(name="deleted", uid="deleted", resource_version="4"),
    ]
    assert cache.behind(kinds.DEPLOYMENT, listed) == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_events_does_not_change_the_outcome(cache: Cache, order: tuple[int, ...]) -> None:
    steps = [
        lambda: cache.upsert(kinds.DEPLOYMENT, factories.child(uid="first", resource_version="3")),
        lambda: cache.delete(kinds.DEPLOYMENT, factories.child(uid="first", resource_version="4")),
        lambda: cache.upsert(kinds.DEPLOYMENT, factories.child(uid="second", resource_version="5")),
        lambda: cache.upsert(kinds.DEPLOYMENT, factories.child(uid="second", resource_version="6")),
    ]
    for index in order:
        steps[index]()
    assert versions(cache) == {"smollm": "6"}


def test_children_are_found_by_label_and_by_owner(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child())
    cache.upsert(kinds.SERVICE, factories.child(kinds.SERVICE, uid="relabelled", service_label="other"))
    cache.upsert(
        kinds.POD_DISRUPTION_BUDGET,
        factories.child(kinds.POD_DISRUPTION_BUDGET, uid="orphan", owner_uid=None),
    )
    cache.upsert(kinds.DEPLOYMENT, factories.child(name="b", uid="b", namespace="team-b"))
    assert {child.kind.kind for child in cache.children(KEY)} == {"Deployment", "Service", "PodDisruptionBudget"}


def test_pods_that_prefetch_are_no_pods_of_the_service_and_found_as_such(cache: Cache) -> None:
    serving, prefetching = factories.pod(), factories.pod(name="smollm-prefetch-1", uid="prefetching")
    prefetching["metadata"]["labels"][names.LABEL_APP_COMPONENT] = names.COMPONENT_PREFETCH
    for pod in (serving, prefetching):
        assert cache.upsert(kinds.POD, pod) == {KEY}
    assert cache.pods(KEY) == (serving,)
    assert cache.prefetch_pods(KEY) == (prefetching,)


def test_pods_are_found_by_label_and_are_no_children(cache: Cache) -> None:
    cache.upsert(kinds.POD, factories.pod(name="b", uid="b"))
    cache.upsert(kinds.POD, factories.pod(name="a", uid="a"))
    assert [pod["metadata"]["name"] for pod in cache.pods(KEY)] == ["a", "b"]
    assert cache.children(KEY) == ()


def test_a_deleted_child_is_no_longer_found(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child())
    cache.delete(kinds.DEPLOYMENT, factories.child(resource_version="2"))
    assert cache.children(KEY) == ()


def test_a_change_concerns_the_service_that_label_and_owner_name_now_and_named_before(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child(owner_uid=None, resource_version="1"))
    changed = factories.child(owner_uid=None, service_label="other", resource_version="2")
    assert cache.upsert(kinds.DEPLOYMENT, changed) == {KEY, Key("team-a", "other")}


def test_the_echo_of_a_known_version_wakes_no_service(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="5"))
    assert cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="5")) == frozenset()


def test_a_version_that_our_own_write_overtook_still_concerns_its_service(cache: Cache) -> None:
    cache.upsert(kinds.INFERENCE_SERVICE, factories.service(resource_version="11"))
    assert cache.upsert(kinds.INFERENCE_SERVICE, factories.service(resource_version="10")) == {KEY}


def pod_on(node: str, service: str = "smollm", version: str = "1") -> Object:
    spec = {"nodeName": node} if node else {}
    pod = factories.pod(name=f"{service}-0", uid=f"pod-of-{service}", resource_version=version, spec=spec)
    pod["metadata"]["labels"][names.LABEL_SERVICE] = service
    return pod


def cordoned(version: str, *, name: str = "worker", cordon: bool = True) -> Object:
    return factories.node(name=name, resource_version=version, spec={"unschedulable": cordon})


def test_a_change_of_a_node_concerns_those_with_pods_on_it_or_on_none(cache: Cache) -> None:
    for pod in (pod_on("worker", "here"), pod_on("", "waits"), pod_on("other", "elsewhere")):
        cache.upsert(kinds.POD, pod)
    concerned = {Key("team-a", "here"), Key("team-a", "waits")}
    assert cache.upsert(kinds.NODE, factories.node()) == concerned, "it joins"
    assert cache.upsert(kinds.NODE, cordoned("2")) == concerned
    assert cache.delete(kinds.NODE, cordoned("3")) == concerned


async def test_a_change_of_a_node_queues_those_with_pods_on_it_within_a_second(cache: Cache) -> None:
    clock = FakeClock()
    queue = WorkQueue[Key](clock, random=lambda: 1.0)
    handle = watch._event_handler(kinds.NODE, cache, queue, lambda _: None)
    cache.upsert(kinds.POD, pod_on("worker"))
    cache.upsert(kinds.NODE, factories.node())
    await handle(event={"type": "MODIFIED", "object": cordoned("2")})
    clock.advance(1.0)
    assert len(queue) == 1
    assert await queue.get() == KEY


def test_a_heartbeat_of_a_node_wakes_no_service_and_is_remembered(cache: Cache) -> None:
    cache.upsert(kinds.POD, pod_on("worker"))
    cache.upsert(kinds.NODE, factories.node())
    assert cache.upsert(kinds.NODE, factories.node(resource_version="2", status={"images": []})) == frozenset()
    assert cache.all_of(kinds.NODE)[0]["metadata"]["resourceVersion"] == "2"


def test_a_change_of_a_node_that_our_own_write_overtook_still_concerns_those_who_are_there(cache: Cache) -> None:
    cache.upsert(kinds.POD, pod_on("worker"))
    cache.upsert(kinds.NODE, factories.node(resource_version="1"))
    cache.upsert(kinds.NODE, cordoned("3"))
    assert cache.upsert(kinds.NODE, cordoned("2")) == {KEY}


def test_a_pod_that_found_a_node_waits_for_none_any_more(cache: Cache) -> None:
    cache.upsert(kinds.POD, pod_on(""))
    cache.upsert(kinds.POD, pod_on("worker", version="2"))
    assert cache.upsert(kinds.NODE, factories.node(name="other")) == frozenset()
    assert cache.upsert(kinds.NODE, factories.node(name="worker")) == {KEY}


@pytest.mark.parametrize("node", ["worker", ""])
def test_a_pod_that_is_gone_is_on_no_node(cache: Cache, node: str) -> None:
    cache.upsert(kinds.POD, pod_on(node))
    cache.delete(kinds.POD, pod_on(node, version="2"))
    assert cache.upsert(kinds.NODE, factories.node()) == frozenset()


def test_a_list_of_pods_also_shows_where_they_are(cache: Cache) -> None:
    cache.upsert(kinds.POD, pod_on("worker", "ghost"))
    cache.replace_all(kinds.POD, [pod_on("worker", version="7")], "20")
    assert cache.upsert(kinds.NODE, factories.node()) == {KEY}


def test_bulk_that_is_never_read_is_dropped(cache: Cache) -> None:
    body: Object = factories.service(annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": ""})
    body["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    cache.upsert(kinds.INFERENCE_SERVICE, body)
    cache.upsert(kinds.NODE, factories.node(status={"images": [{}], "capacity": {"cpu": "2"}}))
    held = cache.get(kinds.INFERENCE_SERVICE, KEY)
    assert held is not None
    assert held["metadata"]["annotations"] == {"kept": ""}
    assert "managedFields" not in held["metadata"]
    assert cache.all_of(kinds.NODE)[0]["status"] == {"capacity": {"cpu": "2"}}
    assert "managedFields" in body["metadata"], "the caller's object stays as it was"


def test_versions_that_are_no_numbers_are_kept_as_they_are(cache: Cache) -> None:
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="abc"))
    cache.upsert(kinds.DEPLOYMENT, factories.child(resource_version="abd"))
    assert versions(cache) == {"smollm": "abd"}
    assert names.LABEL_SERVICE in cache.all_of(kinds.DEPLOYMENT)[0]["metadata"]["labels"]


OTHERS = [
    factories.service(name="names-it", uid="1", profile="gpu-small"),
    factories.service(name="names-another", uid="2", profile="gpu-large"),
    factories.service(name="names-none", uid="3"),
    factories.service(name="elsewhere", uid="4", namespace="team-b"),
]


def test_a_profile_concerns_those_who_name_it_and_those_who_name_none(cache: Cache) -> None:
    for body in OTHERS:
        cache.upsert(kinds.INFERENCE_SERVICE, body)
    concerned = {Key("team-a", "names-it"), Key("team-a", "names-none"), Key("team-b", "elsewhere")}
    assert cache.upsert(kinds.SERVING_PROFILE, factories.profile()) == concerned
    assert cache.upsert(kinds.SERVING_PROFILE, factories.profile()) == frozenset()
    assert cache.delete(kinds.SERVING_PROFILE, factories.profile(resource_version="2")) == concerned


def test_a_namespace_concerns_all_services_in_it(cache: Cache) -> None:
    for body in OTHERS:
        cache.upsert(kinds.INFERENCE_SERVICE, body)
    assert cache.upsert(kinds.NAMESPACE, factories.namespace("team-b")) == {Key("team-b", "elsewhere")}
    assert cache.delete(kinds.NAMESPACE, factories.namespace("team-b", resource_version="2")) == {
        Key("team-b", "elsewhere")
    }


def autoscaler(target: str, *, version: str = "1", seen: int = 0) -> Object:
    """A HorizontalPodAutoscaler of that name's scale; ``seen`` is something in its status."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": "team-a", "name": "theirs", "uid": "hpa", "resourceVersion": version},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": target}},
        "status": {"currentReplicas": seen},
    }


@pytest.mark.parametrize("target", ["smollm", "smollm-spot"])
def test_an_autoscaler_concerns_the_service_whose_deployment_it_may_scale(cache: Cache, target: str) -> None:
    kind = kinds.HORIZONTAL_POD_AUTOSCALER
    assert cache.upsert(kind, autoscaler(target)) == frozenset(), "there is no such service yet"
    cache.upsert(kinds.INFERENCE_SERVICE, factories.service())
    cache.upsert(kinds.INFERENCE_SERVICE, factories.service(name="spot", uid="2"))
    assert [body["metadata"]["name"] for body in cache.autoscalers(KEY)] == ["theirs"]
    assert cache.autoscalers(Key("team-a", "spot")) == ()
    assert cache.upsert(kind, autoscaler(target, version="2", seen=5)) == frozenset(), "its status changes all the time"
    assert cache.upsert(kind, autoscaler("other", version="3")) == {KEY}
    assert cache.autoscalers(KEY) == ()
    assert cache.delete(kind, autoscaler("other", version="4")) == frozenset()
