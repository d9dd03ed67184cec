"""What status.prefetch reports: how many nodes are warm, how far the others are, and what to do about what fails."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from modelyard.api.conditions import timestamp
from modelyard.api.devices import DeviceRequest
from modelyard.api.service import Key, Object
from modelyard.api.status import PrefetchStatus
from modelyard.contract.fetch_report import FetchFailure, FetchReport, Phase, Reason
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.facts.service import FAILED_PREFETCHES, Children, facts, questions
from modelyard.observe.target import PrefetchReport
from modelyard.prefetch.plan import PAUSE, Plan, Step
from modelyard.prefetch.round import Request, Round
from modelyard.prefetch.status import NODES_LIMIT, report
from tests.support import observed
from tests.support.observed import FETCHED, NOW, ago, ended, event, running, waiting

KEY = Key("team-a", "smollm")
REQUEST = Request("fingerprint", 3, {}, {}, DeviceRequest("nvidia.com/gpu", 1), "template", "label")
ROUND = Round(fingerprint="fingerprint", hosts=("worker-1",), count=3, planned=NOW)
JOB = {"metadata": {"name": "smollm-prefetch", "uid": "uid-of-the-job", "creationTimestamp": ago(60)}}
ENDED = NOW - timedelta(seconds=60)
FETCHING = running(20)
ACCESS_DENIED = FetchReport(
    phase=Phase.LISTING, error=FetchFailure(Reason.ACCESS_DENIED, "The key may not list the bucket.")
)
HALF = FetchReport(phase=Phase.DOWNLOADING, bytes_done=50, bytes_total=100)


def status_of(
    *pods: Object,
    step: Step = Step.UNDER_WAY,
    warm: tuple[str, ...] = (),
    lost: int = 0,
    states: Mapping[str, FetchReport] | None = None,
    events: Mapping[str, tuple[Object, ...]] | None = None,
) -> PrefetchStatus:
    """The status, with the pods of a Job for three nodes, which is over since ENDED unless it is under way."""
    return reported(*pods, step=step, warm=warm, lost=lost, states=states, events=events).status


def reported(
    *pods: Object,
    step: Step,
    warm: tuple[str, ...],
    lost: int = 0,
    states: Mapping[str, FetchReport] | None = None,
    events: Mapping[str, tuple[Object, ...]] | None = None,
    ended: datetime | None = ENDED,
) -> PrefetchReport:
    made = tuple(map(pod_facts, pods))
    seen = facts(Children({}, (), JOB, made), fetch_states=states or {}, events=events or {})
    ended = None if step is Step.UNDER_WAY else ended
    found = Plan(step, REQUEST, 3, frozenset(warm), ROUND, lost, "Nodes lack.", made, ended)
    return report(found, seen, KEY, NOW)


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
def test_each_node_is_reported_with_its_progress(pods: tuple[Object, ...], state: str | None, words: str) -> None:
    status = status_of(*pods)
    assert [node.state for node in status.nodes] == ([state] if state else [])
    assert words in (status.message or "")
    assert status.finished_at is None


def test_progress_is_reported_as_for_the_services_own_pods() -> None:
    status = status_of(pod(fetch=FETCHING), warm=("worker-2",), states={"uid-of-one": HALF})
    assert status.reason == "Prefetching"
    assert (status.message or "").startswith("1 of 3 nodes have the model and the engine's image. Node worker-1: ")
    assert "50 %" in (status.message or "")
    assert [(node.name, node.state) for node in status.nodes] == [("worker-1", "Fetching"), ("worker-2", "Ready")]


PROBLEMS = {
    "the fetcher": (
        status_of(pod(fetch=FETCHING), warm=("worker-2",), states={"uid-of-one": ACCESS_DENIED}),
        "AccessDenied",
        "1 of 3 nodes have the model and the engine's image. Node worker-1: The key may not list the bucket.",
    ),
    "the image": (
        status_of(pod(fetch=FETCHED, engine=waiting("ErrImagePull", "not found"))),
        "ImagePullFailed",
        "Correct the image's name",
    ),
    "an image without python3": (
        status_of(pod(fetch=FETCHED, engine=waiting("RunContainerError", 'exec: "python3": not found'))),
        "ContainerStartFailed",
        "must contain python3",
    ),
    "the scheduler": (status_of(pod(refused="0/3 nodes are available.")), "Unschedulable", "0/3 nodes are available"),
    "a quota": (
        status_of(
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
def test_failures_are_reported_with_the_reasons_of_the_services_own_pods(
    status: PrefetchStatus, reason: str, words: str
) -> None:
    assert status.reason == reason
    assert words in (status.message or "")


def test_a_failing_node_is_reported_before_the_others_with_its_message() -> None:
    failing, fine = pod("one", fetch=FETCHING), pod("two", fetch=FETCHING, node="worker-0")
    status = status_of(failing, fine, states={"uid-of-one": ACCESS_DENIED, "uid-of-two": HALF})
    assert {node.name: node.state for node in status.nodes} == {"worker-1": "Failed", "worker-0": "Fetching"}
    assert "may not list" in (status.message or "")


def test_of_many_nodes_a_bounded_number_is_named_those_that_are_not_ready_first() -> None:
    status = status_of(pod(fetch=FETCHING), warm=tuple(f"node-{number:03}" for number in range(100)))
    assert len(status.nodes) == NODES_LIMIT
    assert status.nodes[0].name == "worker-1"


@pytest.mark.parametrize(
    ("status", "reason", "finished"),
    [
        (status_of(step=Step.SETTLED, warm=("a", "b", "c")), "Prefetched", True),
        (status_of(step=Step.SETTLED, warm=("a",)), "PrefetchLacksNodes", True),
        (status_of(pod(refused="none"), step=Step.PAUSED, warm=("a",)), "Unschedulable", True),
        (status_of(lost=1, warm=("a", "b")), "PrefetchLost", False),
    ],
)
def test_the_end_is_reported_with_its_cause(status: PrefetchStatus, reason: str, *, finished: bool) -> None:
    assert status.reason == reason
    assert status.finished_at == (timestamp(ENDED) if finished else None)


def test_the_next_attempt_is_announced_during_the_pause() -> None:
    failed = pod(refused="0/3 nodes are available.")
    assert "The next attempt is in 10 minutes" in (status_of(failed, step=Step.PAUSED).message or "")
    assert "next attempt" not in (status_of(failed).message or "")


AFTER_THE_PAUSE_S = (ENDED + PAUSE - NOW).total_seconds() + 1


@pytest.mark.parametrize(
    ("step", "pods", "warm", "ended", "expected_s"),
    [
        (Step.UNDER_WAY, (), (), None, 30),
        (Step.UNDER_WAY, (pod(fetch=FETCHING),), (), None, 5),
        (Step.SETTLED, (), ("a",), ENDED, 60),
        (Step.SETTLED, (), ("a",), None, 60),
        (Step.SETTLED, (), ("a", "b", "c"), ENDED, AFTER_THE_PAUSE_S),
        (Step.SETTLED, (), ("a", "b", "c"), ENDED - PAUSE, None),
        (Step.SETTLED, (), ("a", "b", "c"), None, None),
        (Step.PAUSED, (), (), ENDED, 60),
    ],
)
def test_it_is_looked_at_again_when_something_may_have_changed_that_no_watch_reports(
    step: Step, pods: tuple[Object, ...], warm: tuple[str, ...], ended: datetime | None, expected_s: float | None
) -> None:
    assert reported(*pods, step=step, warm=warm, ended=ended).look_again_s == expected_s


def test_the_events_of_a_job_without_pods_are_read_when_that_lasts() -> None:
    found = questions(Children({}, (), JOB, ()), NOW)
    assert found.events == {FAILED_PREFETCHES: "involvedObject.uid=uid-of-the-job,reason=FailedCreate"}
    assert questions(Children({}, (), JOB, ()), NOW - timedelta(seconds=50)).events == {}
    assert FAILED_PREFETCHES not in questions(Children({}, (), JOB, (pod_facts(pod()),)), NOW).events


def test_the_progress_of_prefetching_fetchers_is_read() -> None:
    assert questions(Children({}, (), JOB, (pod_facts(pod(fetch=FETCHING)),)), NOW).fetchers == {
        "uid-of-one": "10.0.0.7"
    }
