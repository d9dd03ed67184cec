"""Which nodes are prefetched on: those that could run the service's pods, in rounds that each bring it further."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelyard.api.conditions import timestamp
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.observe.facts.pods import pod_facts
from modelyard.prefetch import job as prefetch_job
from modelyard.prefetch.plan import GIVEN_UP, LARGEST_ROUND, PAUSE, Plan, State, Step, plan
from modelyard.prefetch.round import Request, Round
from tests.support import factories
from tests.support.prefetching import gpu_node, holding, prefetching_service
from tests.support.rendering import resolved

OTHER_MODEL = f"{names.LABEL_MODEL_DOMAIN}/another"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
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


def request(**spec: Any) -> Request:
    found = prefetch_job.request(resolved(prefetching_service(**spec)))
    assert found is not None
    return found


def decided(
    *nodes: Object,
    job: Object | None = None,
    pods: tuple[Object, ...] = (),
    now: datetime = NOW,
    writes_labels: bool = True,
    **spec: Any,
) -> Plan:
    state = State(job, tuple(map(pod_facts, pods)), (), nodes, writes_labels=writes_labels)
    return plan(request(**spec), state, now)


def chosen(*nodes: Object, **spec: Any) -> list[str]:
    round_ = decided(*nodes, **spec).round
    return list(round_.hosts) if round_ else []


def cordoned(node: Object) -> Object:
    return node | {"spec": {"unschedulable": True}}


def nameless(node: Object) -> Object:
    return node | {"metadata": {**node["metadata"], "labels": {}}}


SUITABLE = {
    "a plain node": (gpu_node("n"), {}),
    "the accelerators' own taint": (gpu_node("n", taint="nvidia.com/gpu"), {}),
    "a tolerated taint": (gpu_node("n", taint="team-b"), EVERYTHING_TOLERATED),
    "enough accelerators": (gpu_node("n", gpus=8), {"accelerator": {"count": 8}}),
    "no accelerators where none are requested": (gpu_node("n", gpus=0), {"accelerator": {"type": "cpu"}}),
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


def test_without_a_number_all_nodes_with_the_labels_are_chosen() -> None:
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


def test_labels_that_name_no_node_are_a_lack_of_nodes() -> None:
    found = decided(gpu_node("gpu-1"), prefetch=None, selector={"pool": "none"})
    assert (found.desired, found.step) == (0, Step.SETTLED)
    assert "label pool must be none, but is missing" in found.lacking


PLANNED = NOW - timedelta(minutes=30)
ENDED = NOW - timedelta(minutes=5)
A_B = (gpu_node("a"), gpu_node("b"))


def job(
    fingerprint: str = "",
    *,
    over: bool,
    hosts: tuple[str, ...] = ("a", "b"),
    count: int = 2,
    warm: tuple[str, ...] = (),
) -> Object:
    """The Job for two nodes; ``over`` since five minutes."""
    round_ = Round(
        fingerprint=fingerprint or request().fingerprint, hosts=hosts, count=count, warm=warm, planned=PLANNED
    )
    body = factories.child(name="smollm-prefetch", uid="uid-of-the-job")
    body["metadata"]["annotations"] = {names.ANNOTATION_ROUND: round_.model_dump_json()}
    complete = {"type": "Complete", "status": "True", "lastTransitionTime": timestamp(ENDED)}
    return body | {"status": {"conditions": [complete] if over else []}}


def pod(
    name: str, node: str = "", phase: str = "Succeeded", *, owner: str = "uid-of-the-job", refused_at: str = ""
) -> Object:
    body = factories.pod(name=name, uid=name)
    body["metadata"]["ownerReferences"] = [{"uid": owner}]
    refused = {"type": "PodScheduled", "status": "False", "message": "none", "lastTransitionTime": refused_at}
    status: Object = {"phase": phase, "conditions": [refused] if refused_at else []}
    return body | {"spec": {"nodeName": node}, "status": status}


REACHED_BOTH = (pod("1", "a"), pod("2", "b"))


@pytest.mark.parametrize(
    ("over", "pods", "step", "warm"),
    [
        (False, (), Step.UNDER_WAY, set()),
        (False, REACHED_BOTH, Step.UNDER_WAY, {"a", "b"}),
        (False, (pod("1", "a", "Running"),), Step.UNDER_WAY, set()),
        (False, (pod("1", "a", "Failed"),), Step.UNDER_WAY, set()),
        (False, (pod("1", "a", owner="the-job-before"),), Step.UNDER_WAY, set()),
        (True, REACHED_BOTH, Step.SETTLED, {"a", "b"}),
        (True, (pod("1", "a"), pod("2", "a")), Step.UNDER_WAY, {"a"}),
        (True, (), Step.PAUSED, set()),
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
    found = decided(*A_B, job=job(over=over), pods=pods)
    assert found.step is step
    assert found.warm == warm


def test_a_job_for_something_else_is_no_job() -> None:
    found = decided(*A_B, job=job("another", over=True), pods=(pod("1", "a"),))
    assert found.round is not None
    assert found.round.fingerprint == request().fingerprint
    assert found.warm == set()


def test_a_job_that_is_over_stays_while_there_is_nothing_to_do() -> None:
    over = job(over=True)
    found = decided(*A_B, job=over, pods=REACHED_BOTH, now=NOW + timedelta(days=7))
    assert (found.step, found.ended) == (Step.SETTLED, ENDED)
    assert found.round is not None
    assert found.round.planned == PLANNED


def test_a_following_job_is_for_what_was_not_reached_and_remembers_what_was() -> None:
    before = job(request(prefetch=3).fingerprint, over=True, warm=("z",))
    found = decided(*map(gpu_node, "abz"), job=before, pods=(pod("1", "a"), pod("2", "a")), prefetch=3)
    assert found.round is not None
    assert (found.round.hosts, found.round.count, found.round.warm) == (("b",), 1, ("a", "z"))


def test_each_round_differs_from_the_one_before_so_that_its_job_takes_the_other_ones_place() -> None:
    over = job(over=True)
    found = decided(*A_B, job=over, now=ENDED + PAUSE)
    assert found.round is not None
    assert found.round.model_dump_json() != over["metadata"]["annotations"][names.ANNOTATION_ROUND]


@pytest.mark.parametrize("pods", [(), (pod("1", "a"),)], ids=["none reached", "none further reached"])
def test_a_job_that_brought_nothing_further_is_followed_after_a_pause(pods: tuple[Object, ...]) -> None:
    over = job(over=True, warm=("a",))
    early, late = (decided(*A_B, job=over, pods=pods, now=ENDED + wait) for wait in (PAUSE - SECOND, PAUSE))
    assert (early.step, late.step) == (Step.PAUSED, Step.UNDER_WAY)
    assert early.round is not None
    assert late.round is not None
    assert (early.round.planned, late.round.planned) == (PLANNED, ENDED + PAUSE)
    assert (late.round.hosts, late.round.count) == (("b",), 1)


@pytest.mark.parametrize(
    ("pods", "hosts"),
    [((pod("1", "a"),), ("new",)), ((), ("a", "b"))],
    ids=["all was reached that there was", "something failed"],
)
def test_a_node_that_joins_is_used_at_once_unless_the_last_round_failed(
    pods: tuple[Object, ...], hosts: tuple[str, ...]
) -> None:
    over = job(request(prefetch=2).fingerprint, over=True, count=1)
    found = decided(gpu_node("a"), gpu_node("new"), job=over, pods=pods, prefetch=2)
    assert found.round is not None
    assert found.round.hosts == hosts


def test_a_node_that_goes_is_replaced_but_not_before_the_pause_is_over() -> None:
    over, left = job(over=True), (gpu_node("a"), gpu_node("c"))
    early, late = (decided(*left, job=over, pods=REACHED_BOTH, now=ENDED + wait) for wait in (PAUSE - SECOND, PAUSE))
    assert early.step is Step.PAUSED
    assert early.warm == {"a"}
    assert late.round is not None
    assert (late.round.hosts, late.round.warm) == (("c",), ("a",))


@pytest.mark.parametrize(
    ("nodes", "now", "writes_labels", "lost"),
    [
        ((holding(gpu_node("a")), gpu_node("b")), ENDED + PAUSE, True, 1),
        ((holding(gpu_node("a")), gpu_node("b")), ENDED + PAUSE - SECOND, True, 0),
        ((holding(gpu_node("a")), holding(gpu_node("b"))), ENDED + PAUSE, True, 0),
        ((gpu_node("a"), gpu_node("b")), ENDED + PAUSE, True, 0),
        ((holding(gpu_node("a"), OTHER_MODEL), gpu_node("b")), ENDED + PAUSE, True, 2),
        ((holding(gpu_node("a"), OTHER_MODEL), gpu_node("b")), ENDED + PAUSE, False, 0),
    ],
    ids=[
        "one has lost it",
        "labels may be late",
        "both hold it",
        "no node has any label",
        "labels of other models only",
        "this installation writes no labels",
    ],
)
def test_what_nodes_lost_since_is_seen_by_their_labels_once_these_had_time_to_follow(
    nodes: tuple[Object, ...], now: datetime, lost: int, *, writes_labels: bool
) -> None:
    found = decided(*nodes, job=job(over=True), pods=REACHED_BOTH, now=now, writes_labels=writes_labels)
    assert found.lost == lost
    assert found.step is (Step.UNDER_WAY if lost else Step.SETTLED)
    assert found.round is not None
    assert found.round.count == (lost or 2)


def test_nodes_with_the_label_stand_in_for_pods_that_were_removed() -> None:
    nodes = (holding(gpu_node("a")), holding(gpu_node("b")), holding(gpu_node("elsewhere")))
    found = decided(*nodes, job=job(over=True))
    assert found.step is Step.SETTLED
    assert found.warm == {"a", "b"}


def test_a_job_whose_last_pods_find_no_node_is_over_after_a_while() -> None:
    since = NOW - GIVEN_UP
    pods = (pod("1", "a"), pod("2", phase="Pending", refused_at=timestamp(since)))
    at_work = job(over=False)
    assert decided(*A_B, job=at_work, pods=pods, now=NOW - SECOND).step is Step.UNDER_WAY
    following = decided(*A_B, job=at_work, pods=pods)
    assert following.round is not None
    assert (following.round.hosts, following.round.warm) == (("b",), ("a",))
    again = job(over=False, warm=("a",), count=1)
    assert decided(*A_B, job=again, pods=pods[1:]).step is Step.PAUSED


@pytest.mark.parametrize("time", ["", "soon", None])
def test_a_job_whose_end_cannot_be_read_does_not_hold_up_what_follows(time: str | None) -> None:
    over = job(over=True)
    over["status"]["conditions"][0]["lastTransitionTime"] = time
    over["metadata"]["creationTimestamp"] = time
    assert decided(*A_B, job=over).step is Step.UNDER_WAY
