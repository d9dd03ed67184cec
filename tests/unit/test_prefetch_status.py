"""What status.prefetch tells: how many nodes are warm, how far the others are, and what to do about what fails."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from modelyard.api.devices import DeviceRequest
from modelyard.api.prefetch_round import Asked, Round
from modelyard.api.service import Key, Object
from modelyard.api.status import PrefetchStatus
from modelyard.contract.fetch_report import FetchFailure, FetchReport, Phase, Reason
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.facts.service import FAILED_PREFETCHES, Children, facts, questions
from modelyard.observe.prefetch_plan import Plan, Step
from modelyard.observe.prefetch_status import NODES_LIMIT, look_again_s, prefetch_status
from tests.support import observed
from tests.support.observed import FETCHED, NOW, ago, ended, event, running, waiting

KEY = Key("team-a", "smollm")
ASKED = Asked("fingerprint", 3, {}, {}, DeviceRequest("nvidia.com/gpu", 1), "template", "label")
ROUND = Round(fingerprint="fingerprint", hosts=("worker-1",), count=3, planned=NOW)
JOB = {"metadata": {"name": "smollm-prefetch", "uid": "uid-of-the-job", "creationTimestamp": ago(60)}}
FETCHING = running(20)
ACCESS_DENIED = FetchReport(
    phase=Phase.LISTING, error=FetchFailure(Reason.ACCESS_DENIED, "The key may not list the bucket.")
)
HALF = FetchReport(phase=Phase.DOWNLOADING, bytes_done=50, bytes_total=100)


def told(
    *pods: Object,
    step: Step = Step.UNDER_WAY,
    warm: tuple[str, ...] = (),
    lost: int = 0,
    stored: object = None,
    states: Mapping[str, FetchReport] | None = None,
    events: Mapping[str, tuple[Object, ...]] | None = None,
) -> PrefetchStatus:
    """The status, with the pods of a Job for three nodes."""
    seen = facts(Children({}, (), JOB, tuple(map(pod_facts, pods))), fetch_states=states or {}, events=events or {})
    at_work = ROUND if step is not Step.SETTLED else None
    found = Plan(step, ASKED, 3, frozenset(warm), at_work, lost, "Nodes lack.", tuple(map(pod_facts, pods)))
    return prefetch_status(found, seen, KEY, stored, NOW)[0]


def pod(name: str = "one", **fields: Any) -> Object:
    return observed.pod(name, **fields)


@pytest.mark.parametrize(
    ("pods", "state", "words"),
    [
        ((), None, "Pods are being created"),
        ((pod(),), "Pending", "Node worker-1"),
        ((pod(fetch=FETCHING),), "Fetching", "Node worker-1: Fetching the model"),
        ((pod(fetch=FETCHED, engine=waiting("PodInitializing")),), "Fetching", "Node worker-1 is preparing the pod"),
        ((pod(fetch=FETCHED, engine=running(1)),), "Fetching", "0 of 3 nodes"),
        ((pod(fetch=FETCHED, engine=ended(0)),), "Fetching", "0 of 3 nodes"),
        ((pod(refused="0/3 nodes are available: 3 Insufficient cpu."),), None, "Insufficient cpu"),
    ],
    ids=["none yet", "prepared", "fetching", "pulling", "about to end", "has ended", "without a node"],
)
def test_each_node_is_told_with_how_far_it_is(pods: tuple[Object, ...], state: str | None, words: str) -> None:
    status = told(*pods)
    assert [node.state for node in status.nodes] == ([state] if state else [])
    assert words in (status.message or "")
    assert status.finished_at is None


def test_progress_is_told_as_for_the_services_own_pods() -> None:
    status = told(pod(fetch=FETCHING), warm=("worker-2",), states={"uid-of-one": HALF})
    assert status.reason == "Prefetching"
    assert (status.message or "").startswith("1 of 3 nodes have the model and the engine's image. Node worker-1: ")
    assert "50 %" in (status.message or "")
    assert [(node.name, node.state) for node in status.nodes] == [("worker-1", "Fetching"), ("worker-2", "Ready")]


PROBLEMS = {
    "the fetcher": (
        told(pod(fetch=FETCHING), warm=("worker-2",), states={"uid-of-one": ACCESS_DENIED}),
        "AccessDenied",
        "1 of 3 nodes have the model and the engine's image. Node worker-1: The key may not list the bucket.",
    ),
    "the image": (
        told(pod(fetch=FETCHED, engine=waiting("ErrImagePull", "not found"))),
        "ImagePullFailed",
        "Correct the image's name",
    ),
    "an image without python3": (
        told(pod(fetch=FETCHED, engine=waiting("RunContainerError", 'exec: "python3": not found'))),
        "ContainerStartFailed",
        "must contain python3",
    ),
    "the scheduler": (told(pod(refused="0/3 nodes are available.")), "Unschedulable", "0/3 nodes are available"),
    "a quota": (
        told(
            events={
                FAILED_PREFETCHES: (
                    event("FailedCreate", 'Error creating: pods "a-1" is forbidden: exceeded quota: x'),
                )
            }
        ),
        "QuotaExceeded",
        "exceeded quota: x",
    ),
}


@pytest.mark.parametrize(("status", "reason", "words"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_fails_is_told_with_the_reasons_of_the_services_own_pods(
    status: PrefetchStatus, reason: str, words: str
) -> None:
    assert status.reason == reason
    assert words in (status.message or "")


def test_a_failing_node_is_told_before_the_others_and_its_message_stands_by_it() -> None:
    failing, fine = pod("one", fetch=FETCHING), pod("two", fetch=FETCHING, node="worker-0")
    status = told(failing, fine, states={"uid-of-one": ACCESS_DENIED, "uid-of-two": HALF})
    assert {node.name: node.state for node in status.nodes} == {"worker-1": "Failed", "worker-0": "Fetching"}
    assert "may not list" in (status.message or "")


def test_of_many_nodes_a_bounded_number_is_named_those_that_are_not_ready_first() -> None:
    status = told(pod(fetch=FETCHING), warm=tuple(f"node-{number:03}" for number in range(100)))
    assert len(status.nodes) == NODES_LIMIT
    assert status.nodes[0].name == "worker-1"


@pytest.mark.parametrize(
    ("status", "reason", "finished"),
    [
        (told(step=Step.ENDED, warm=("a", "b", "c")), "Prefetched", True),
        (told(step=Step.ENDED, warm=("a",)), "PrefetchLacksNodes", True),
        (told(step=Step.SETTLED, warm=("a",)), "PrefetchLacksNodes", False),
        (told(pod(refused="none"), step=Step.ENDED, warm=("a",)), "Unschedulable", True),
        (told(lost=1, warm=("a", "b")), "PrefetchLost", False),
    ],
)
def test_the_end_is_told_with_its_cause(status: PrefetchStatus, reason: str, *, finished: bool) -> None:
    assert status.reason == reason
    assert (status.finished_at is not None) is finished


def test_what_was_recorded_stands_while_nothing_is_done() -> None:
    before = told(step=Step.ENDED, warm=("a", "b", "c"))
    stored = before.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert told(step=Step.RESTS, stored=stored) == before


def test_the_time_of_the_end_stays_when_the_labels_tell_the_same() -> None:
    stored = told(step=Step.ENDED, warm=("a",)).model_dump(mode="json", by_alias=True, exclude_none=True)
    stored["finishedAt"] = ago(9999)
    assert told(step=Step.SETTLED, warm=("a", "b", "c"), stored=stored).finished_at == ago(9999)


@pytest.mark.parametrize(
    ("step", "pods", "warm", "expected_s"),
    [
        (Step.UNDER_WAY, (), (), 30),
        (Step.UNDER_WAY, (pod(fetch=FETCHING),), (), 5),
        (Step.SETTLED, (), ("a",), 60),
        (Step.SETTLED, (), ("a", "b", "c"), None),
        (Step.RESTS, (), (), 60),
    ],
)
def test_it_is_looked_at_again_when_something_may_have_changed_that_no_watch_tells(
    step: Step, pods: tuple[Object, ...], warm: tuple[str, ...], expected_s: float | None
) -> None:
    found = Plan(step, ASKED, 3, frozenset(warm), pods=tuple(map(pod_facts, pods)))
    stored = {"desired": 3, "ready": 0, "finishedAt": ago(60)}
    assert look_again_s(found, stored, NOW) == expected_s


def test_the_events_of_a_job_without_pods_are_asked_for_when_that_lasts() -> None:
    asked = questions(Children({}, (), JOB, ()), NOW)
    assert asked.events == {FAILED_PREFETCHES: "involvedObject.uid=uid-of-the-job,reason=FailedCreate"}
    assert questions(Children({}, (), JOB, ()), NOW - timedelta(seconds=50)).events == {}
    assert FAILED_PREFETCHES not in questions(Children({}, (), JOB, (pod_facts(pod()),)), NOW).events


def test_fetchers_that_prefetch_are_asked_for_their_progress() -> None:
    assert questions(Children({}, (), JOB, (pod_facts(pod(fetch=FETCHING)),)), NOW).fetchers == {
        "uid-of-one": "10.0.0.7"
    }
