"""Which nodes are prefetched on: those that could run the service's pods, in rounds that each bring it further."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelyard.api.prefetch_round import Asked, Round
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import prefetch_job
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.prefetch_plan import LARGEST_ROUND, Plan, Present, Step, plan
from tests.support import factories
from tests.support.prefetching import asking, gpu_node, holding
from tests.support.rendering import resolved

OTHER_MODEL = f"{names.LABEL_MODEL_DOMAIN}/another"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVERYTHING_TOLERATED = {"podTemplate": {"spec": {"tolerations": [{"operator": "Exists"}]}}}
IN_ZONE_A = {
    "podTemplate": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
                            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["aa"]}]},
                        ]
                    }
                }
            }
        }
    }
}


def asked(**spec: Any) -> Asked:
    found = prefetch_job.asked(resolved(asking(**spec)))
    assert found is not None
    return found


def decided(
    *nodes: Object, stored: object = None, job: Object | None = None, pods: tuple[Object, ...] = (), **spec: Any
) -> Plan:
    return plan(asked(**spec), Present(job, tuple(map(pod_facts, pods)), (), nodes, stored), NOW)


def chosen(*nodes: Object, **spec: Any) -> list[str]:
    round_ = decided(*nodes, **spec).round
    return list(round_.hosts) if round_ else []


def cordoned(node: Object) -> Object:
    return node | {"spec": {"unschedulable": True}}


def nameless(node: Object) -> Object:
    return node | {"metadata": {**node["metadata"], "labels": {}}}


def recorded(ready: int = 1, *, ended_s: float = 700, fingerprint: str | None = None, prefetch: int = 1) -> Object:
    """A status that says that the only node asked for was reached, or not."""
    finished = (NOW - timedelta(seconds=ended_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "desired": 1,
        "ready": ready,
        "nodes": [{"name": "gpu-1", "state": "Ready"}][:ready],
        "reason": "Prefetched",
        "fingerprint": fingerprint or asked(prefetch=prefetch).fingerprint,
        "finishedAt": finished,
    }


SUITABLE = {
    "a plain node": (gpu_node("n"), {}),
    "the accelerators' own taint": (gpu_node("n", taint="nvidia.com/gpu"), {}),
    "a tolerated taint": (gpu_node("n", taint="team-b"), EVERYTHING_TOLERATED),
    "enough accelerators": (gpu_node("n", gpus=8), {"accelerator": {"count": 8}}),
    "no accelerators where none are asked for": (gpu_node("n", gpus=0), {"accelerator": {"type": "cpu"}}),
    "the labels that the user named": (gpu_node("n", pool="gpu"), {"selector": {"pool": "gpu"}}),
    "one of the user's terms": (gpu_node("n", zone="aa"), IN_ZONE_A),
    "term and labels": (gpu_node("n", zone="a", pool="gpu"), {**IN_ZONE_A, "selector": {"pool": "gpu"}}),
}

UNSUITABLE = {
    "a taint": (gpu_node("n", taint="team-b"), {}),
    "cordoned": (cordoned(gpu_node("n")), {}),
    "not ready": (gpu_node("n", ready=False), {}),
    "no accelerators": (gpu_node("n", gpus=0), {}),
    "too few accelerators": (gpu_node("n", gpus=4), {"accelerator": {"count": 8}}),
    "other labels than the user named": (gpu_node("n", pool="cpu"), {"selector": {"pool": "gpu"}}),
    "none of the user's terms": (gpu_node("n", zone="b"), IN_ZONE_A),
    "a term but not the labels": (gpu_node("n", zone="a"), {**IN_ZONE_A, "selector": {"pool": "gpu"}}),
    "another product": (gpu_node("n"), {"accelerator": {"product": ["NVIDIA-A10G"]}}),
    "no host name to choose it by": (nameless(gpu_node("n")), {}),
}


@pytest.mark.parametrize(("node", "spec"), SUITABLE.values(), ids=SUITABLE)
def test_a_node_that_can_run_the_pods_is_used(node: Object, spec: Object) -> None:
    assert chosen(node, **spec) == ["n"]


@pytest.mark.parametrize(("node", "spec"), UNSUITABLE.values(), ids=UNSUITABLE)
def test_a_node_that_cannot_run_the_pods_is_not_used(node: Object, spec: Object) -> None:
    found = decided(node, **spec)
    assert (found.step, found.round) == (Step.SETTLED, None)


def test_the_scheduler_may_choose_among_all_nodes_that_can_be_used() -> None:
    found = decided(*map(gpu_node, "cab"), prefetch=2).round
    assert found is not None
    assert (found.hosts, found.count) == (("a", "b", "c"), 2)


def test_nodes_that_hold_the_model_come_first_where_not_all_can_be_named() -> None:
    nodes = [gpu_node(f"n{number:03}") for number in range(LARGEST_ROUND + 5)]
    nodes[-1] = holding(nodes[-1])
    hosts = chosen(*nodes, prefetch=1000)
    assert len(hosts) == LARGEST_ROUND
    assert hosts[0] == f"n{LARGEST_ROUND + 4:03}"


def test_without_a_number_all_nodes_with_the_labels_are_wanted() -> None:
    nodes = [gpu_node(name, pool="gpu") for name in "ab"]
    found = decided(*nodes, gpu_node("c", pool="x"), prefetch=None, selector={"pool": "gpu"})
    assert found.desired == 2
    assert found.round is not None
    assert found.round.count == 2


def test_no_more_pods_are_made_than_nodes_can_be_used() -> None:
    found = decided(gpu_node("a"), prefetch=7)
    assert found.desired == 7
    assert found.round is not None
    assert found.round.count == 1


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((gpu_node("a", taint="team-b"),), "untolerated taint team-b:NoSchedule"),
        ((gpu_node("a", gpus=0),), "No node offers nvidia.com/gpu"),
        ((gpu_node("a", gpus=2),), "at most 2 on one"),
        ((), "No node offers nvidia.com/gpu"),
    ],
)
def test_why_no_node_can_be_used_is_known(nodes: tuple[Object, ...], words: str) -> None:
    assert words in decided(*nodes, accelerator={"count": 4}).lacking


@pytest.mark.parametrize(
    ("stored", "node", "step"),
    [
        (None, gpu_node("gpu-1"), Step.UNDER_WAY),
        (recorded(), holding(gpu_node("gpu-1")), Step.SETTLED),
        (recorded(), holding(gpu_node("gpu-1"), OTHER_MODEL), Step.UNDER_WAY),
        (recorded(), gpu_node("gpu-1"), Step.RESTS),
        (recorded(ready=0), gpu_node("gpu-1"), Step.UNDER_WAY),
        (recorded(ended_s=599), gpu_node("gpu-1"), Step.RESTS),
        (recorded(ready=0, ended_s=599), gpu_node("gpu-1"), Step.RESTS),
        (recorded(fingerprint="another"), holding(gpu_node("gpu-1")), Step.UNDER_WAY),
        ({**recorded(), "finishedAt": "soon"}, gpu_node("gpu-1"), Step.UNDER_WAY),
        ({"desired": "?"}, gpu_node("gpu-1"), Step.UNDER_WAY),
        ("?", gpu_node("gpu-1"), Step.UNDER_WAY),
    ],
    ids=[
        "nothing was done yet",
        "labelled",
        "lost, as labels tell",
        "labels tell nothing",
        "too few were reached",
        "ended of late",
        "ended of late with too few",
        "for something else",
        "an unreadable time",
        "an unreadable status",
        "no status",
    ],
)
def test_what_was_recorded_decides_whether_there_is_more_to_do(stored: object, node: Object, step: Step) -> None:
    assert decided(node, stored=stored, prefetch=1).step is step


def test_labels_are_not_waited_for_where_this_installation_writes_none() -> None:
    other = holding(gpu_node("gpu-1"), OTHER_MODEL)
    present = Present(None, (), (), (other,), recorded(), writes_labels=False)
    assert plan(asked(prefetch=1), present, NOW).step is Step.RESTS


@pytest.mark.parametrize(
    ("said", "hosts"),
    [
        ({"reason": "PrefetchLacksNodes"}, ["new"]),
        ({"reason": "Unschedulable"}, []),
        ({"reason": "PrefetchLacksNodes", "ready": 40}, []),
    ],
    ids=["nodes were lacking", "something else failed", "more were reached than are named"],
)
def test_a_node_that_was_lacking_is_used_as_soon_as_it_is_there(said: Object, hosts: list[str]) -> None:
    stored = recorded(ended_s=5, prefetch=2) | said
    assert chosen(gpu_node("gpu-1"), gpu_node("new"), stored=stored, prefetch=2) == hosts


def test_labels_that_name_no_node_are_a_lack_of_nodes() -> None:
    found = decided(gpu_node("gpu-1"), prefetch=None, selector={"pool": "none"})
    assert (found.desired, found.step) == (0, Step.SETTLED)
    assert "label pool must be none, but is missing" in found.lacking


def job(fingerprint: str, *, over: bool, hosts: tuple[str, ...] = ("a", "b"), warm: tuple[str, ...] = ()) -> Object:
    planned = NOW - timedelta(minutes=5)
    round_ = Round(fingerprint=fingerprint, hosts=hosts, count=2, warm=warm, planned=planned)
    body = factories.child(name="smollm-prefetch", uid="uid-of-the-job")
    body["metadata"]["annotations"] = {names.ANNOTATION_ROUND: round_.model_dump_json()}
    conditions = [{"type": "Complete", "status": "True"}] if over else []
    return body | {"status": {"conditions": conditions}}


def pod(name: str, node: str = "", phase: str = "Succeeded", *, owner: str = "uid-of-the-job") -> Object:
    body = factories.pod(name=name, uid=name)
    body["metadata"]["ownerReferences"] = [{"uid": owner}]
    return body | {"spec": {"nodeName": node}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("over", "pods", "step", "warm"),
    [
        (False, (), Step.UNDER_WAY, set()),
        (False, (pod("1", "a"), pod("2", "b")), Step.UNDER_WAY, {"a", "b"}),
        (False, (pod("1", "a", "Running"),), Step.UNDER_WAY, set()),
        (False, (pod("1", "a", "Failed"),), Step.UNDER_WAY, set()),
        (False, (pod("1", "a", owner="the-job-before"),), Step.UNDER_WAY, set()),
        (True, (pod("1", "a"), pod("2", "b")), Step.ENDED, {"a", "b"}),
        (True, (pod("1", "a"), pod("2", "a")), Step.UNDER_WAY, {"a"}),
        (True, (), Step.ENDED, set()),
    ],
    ids=[
        "no pods yet",
        "all ended, and the Job not yet",
        "runs",
        "failed",
        "of another Job",
        "all reached",
        "one node twice",
        "none reached",
    ],
)
def test_a_job_is_waited_for_and_what_it_did_is_counted_by_node(
    pods: tuple[Object, ...], step: Step, warm: set[str], *, over: bool
) -> None:
    found = decided(*map(gpu_node, "ab"), job=job(asked().fingerprint, over=over), pods=pods)
    assert found.step is step
    assert found.warm == warm


def test_a_job_for_something_else_is_no_job() -> None:
    found = decided(*map(gpu_node, "ab"), job=job("another", over=True), pods=(pod("1", "a"),))
    assert found.round is not None
    assert found.round.fingerprint == asked().fingerprint
    assert found.warm == set()


def test_a_following_job_is_for_what_was_not_reached_and_remembers_what_was() -> None:
    before = job(asked(prefetch=3).fingerprint, over=True, warm=("z",))
    found = decided(*map(gpu_node, "abz"), job=before, pods=(pod("1", "a"), pod("2", "a")), prefetch=3)
    assert found.round is not None
    assert (found.round.hosts, found.round.count, found.round.warm) == (("b",), 1, ("a", "z"))


def test_a_job_that_brought_nothing_further_is_not_followed_at_once() -> None:
    found = decided(*map(gpu_node, "ab"), job=job(asked().fingerprint, over=True, warm=("a",)), pods=(pod("1", "a"),))
    assert found.step is Step.ENDED


def test_a_job_is_done_with_once_its_end_is_recorded() -> None:
    over = job(asked().fingerprint, over=True)
    pods = (pod_facts(pod("1", "a")), pod_facts(pod("2", "b")))
    nodes = tuple(map(gpu_node, "ab"))
    of_this_job, of_a_job_before = recorded(ended_s=1, prefetch=2), recorded(ended_s=3600, prefetch=2)
    assert plan(asked(), Present(over, pods, (), nodes, of_this_job), NOW).round is None
    assert plan(asked(), Present(over, pods, (), nodes, of_a_job_before), NOW).step is Step.ENDED
