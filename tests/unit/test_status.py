"""The status as a whole: what its conditions report together, what stays, what changes when, and when to look again."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from modelyard.api.conditions import MESSAGE_LENGTH
from modelyard.contract import names
from modelyard.contract.errors import InvalidError, NotReadyError
from modelyard.contract.fetch_report import FetchReport, Phase
from modelyard.desired.refresh import CHANGE_LENGTH, CHANGES_LIMIT
from modelyard.observe.assessment import Assessment
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.facts.service import Children, facts, questions
from modelyard.observe.status import StatusUpdate, status
from modelyard.observe.target import Target
from tests.support.observed import (
    DIGEST,
    EFFECTIVE,
    NOW,
    OLD,
    World,
    a_deployment,
    a_service,
    ago,
    conditions,
    crashed,
    ended,
    event,
    loading,
    pod,
    running,
    serving,
    target,
)

CRASHED = crashed("RuntimeError: worker died")
BROKEN = {**CRASHED, "metadata": {**CRASHED["metadata"], "name": "broken", "uid": "uid-of-broken"}}
REFUSED = InvalidError("UnknownEngine", "There is no engine vlm. Use one of: vllm.")

SERVICES = {
    "all replicas answer": (
        World(serving("a"), serving("b"), replicas=2),
        {
            "Ready": "True/Ready",
            "Available": "True/Ready",
            "ModelCached": "True/Cached",
            "Progressing": "False/Complete",
        },
    ),
    "one replica of two crashes": (
        World(serving("a"), BROKEN, replicas=2),
        {
            "Ready": "True/Degraded",
            "Available": "False/EngineFailed",
            "Progressing": "False/EngineFailed",
            "Stalled": "True/EngineFailed",
        },
    ),
    "one replica of two is refused": (
        World(serving("a"), replicas=2, deployment=a_deployment(2, refusal="exceeded quota: gpus")),
        {"Ready": "True/Degraded", "Available": "False/QuotaExceeded", "Stalled": "True/QuotaExceeded"},
    ),
    "one replica of two starts": (
        World(serving("a"), loading("b"), replicas=2),
        {
            "Ready": "True/RollingOut",
            "Available": "False/Starting",
            "Progressing": "True/Starting",
            "Reconciling": "True/Starting",
        },
    ),
    "one replica crashes while another starts": (
        World(BROKEN, loading("b"), replicas=2),
        {"Ready": "False/EngineFailed", "Available": "False/EngineFailed", "Progressing": "True/Starting"},
    ),
    "one replica fetches while another lacks a node": (
        World(pod("a", fetch=running(9)), pod("b", refused="0/1 nodes: 1 Insufficient nvidia.com/gpu."), replicas=2),
        {"Ready": "False/Fetching", "Available": "False/InsufficientAccelerators", "Progressing": "True/Fetching"},
    ),
    "a rollout begins": (
        World(serving("a", template=OLD), deployment=a_deployment(template=OLD)),
        {"Ready": "True/RollingOut", "Available": "True/Ready", "Progressing": "True/Creating"},
    ),
    "a rollout that the Deployment's controller has not seen": (
        World(serving("a"), deployment=a_deployment(observed=False)),
        {"Ready": "True/RollingOut", "Progressing": "True/RollingOut", "Reconciling": "True/RollingOut"},
    ),
    "a change that may cure a crash": (
        World(BROKEN, deployment=a_deployment(observed=False)),
        {"Ready": "False/EngineFailed", "Progressing": "True/RollingOut"},
    ),
    "a rollout goes on": (
        World(serving("a", template=OLD), pod("b", fetch=running(9))),
        {
            "Ready": "True/RollingOut",
            "Available": "True/Ready",
            "ModelCached": "False/Fetching",
            "Progressing": "True/Fetching",
        },
    ),
    "a rollout's new pod crashes": (
        World(serving("a", template=OLD), BROKEN),
        {"Ready": "True/ServingPrevious", "Available": "True/Ready", "Stalled": "True/EngineFailed"},
    ),
    "a rollout's last old pod must stop": (
        World(serving("a"), serving("b", template=OLD, deletionTimestamp=ago(1))),
        {"Ready": "True/Ready", "Progressing": "False/Complete"},
    ),
    "children of a deleted predecessor": (
        World(deployment={}, problem=NotReadyError("PredecessorTerminating", "Deployment smollm is terminating.", 2)),
        {
            "Ready": "False/PredecessorTerminating",
            "Accepted": "Unknown/PredecessorTerminating",
            "Available": "False/PredecessorTerminating",
        },
    ),
    "a pod that was evicted and replaced": (
        World(serving("a"), pod("b", phase=Phase.FAILED)),
        {"Ready": "True/Ready", "Progressing": "False/Complete"},
    ),
    "a refused change of a running service": (
        World(serving("a", template=OLD), problem=REFUSED, deployment=a_deployment(template=OLD)),
        {
            "Ready": "True/ServingPrevious",
            "Accepted": "False/UnknownEngine",
            "Available": "True/Ready",
            "Stalled": "True/UnknownEngine",
        },
    ),
    "zero replicas": (
        World(replicas=0),
        {
            "Ready": "False/ScaledToZero",
            "Accepted": "True/Accepted",
            "ModelCached": "Unknown/ScaledToZero",
            "Available": "False/ScaledToZero",
            "Progressing": "False/ScaledToZero",
        },
    ),
    "zero replicas while the last one drains": (
        World(serving(deletionTimestamp=ago(1)), replicas=0),
        {"Ready": "False/ScaledToZero", "Progressing": "False/ScaledToZero"},
    ),
    "a paused service that answers": (
        World(serving(), service=a_service(paused=True)),
        {"Ready": "True/Ready", "Accepted": "Unknown/Paused", "Available": "True/Ready", "Progressing": "False/Paused"},
    ),
    "a paused service that crashes": (
        World(BROKEN, service=a_service(paused=True)),
        {"Ready": "False/EngineFailed", "Accepted": "Unknown/Paused", "Progressing": "False/Paused"},
    ),
    "a paused service of which nothing was made yet": (
        World(deployment={}, service=a_service(paused=True)),
        {"Ready": "False/Paused", "Accepted": "Unknown/Paused", "Progressing": "False/Paused"},
    ),
    "something to wait for": (
        World(serving(), problem=NotReadyError("PredecessorTerminating", "The API server is busy.", 7)),
        {
            "Ready": "True/Ready",
            "Accepted": "Unknown/PredecessorTerminating",
            "Progressing": "True/PredecessorTerminating",
        },
    ),
    "a pod that looped and has been ready for long": (
        World(serving(engine_last=ended(1, "boom"), restarts=7, changed_s=31)),
        {"Ready": "True/Ready", "Progressing": "False/Complete"},
    ),
    "a pod that failed once and is ready again": (
        World(serving(engine_last=ended(1, "boom"), restarts=1, changed_s=29)),
        {"Ready": "False/EngineFailed", "Available": "False/EngineFailed", "Stalled": "True/EngineFailed"},
    ),
    "a pod that failed once and stays ready": (
        World(serving(engine_last=ended(1, "boom"), restarts=1, changed_s=30)),
        {"Ready": "True/Ready", "Progressing": "False/Complete"},
    ),
    "a pod whose node was restarted under it": (
        World(serving(engine_last=ended(255, reason="Unknown"), restarts=1, changed_s=1)),
        {"Ready": "True/Ready", "Progressing": "False/Complete"},
    ),
    "a loop of runs that each serve for minutes": (
        World(serving(engine_last=ended(1, "boom", ran_s=420), restarts=7, changed_s=200)),
        {"Ready": "False/CrashLooping", "Available": "False/CrashLooping", "Stalled": "True/CrashLooping"},
    ),
    "a late failure after three others long ago": (
        World(serving(engine_last=ended(1, "boom", ran_s=9000), restarts=4, changed_s=200)),
        {"Ready": "True/Ready", "Progressing": "False/Complete"},
    ),
}


@pytest.mark.parametrize(("world", "expected"), SERVICES.values(), ids=SERVICES)
def test_the_conditions_of_a_service(world: World, expected: dict[str, str]) -> None:
    found = {type_: f"{c['status']}/{c['reason']}" for type_, c in conditions(world.verdict()).items()}
    assert expected.items() <= found.items()
    assert ("Stalled" in found) == ("Stalled" in expected)
    assert ("Reconciling" in found) == found["Progressing"].startswith("True")


def test_a_ready_service_reports_all_that_a_user_looks_for() -> None:
    verdict = World(serving(), service=a_service(generation=9)).verdict()
    fields = {name: value for name, value in verdict.status.items() if name != "conditions"}
    assert fields == {
        "observedGeneration": 9,
        "replicas": 1,
        "readyReplicas": 1,
        "desiredReplicas": 1,
        "selector": "serving.modelyard.dev/service=smollm,app.kubernetes.io/component=engine",
        "url": "http://smollm.team-a.svc",
        "reason": "Ready",
        "model": {"digest": DIGEST, "sizeBytes": 270_000_000},
        "startup": {"readyAt": ago(60), "prepareSeconds": 70, "fetchSeconds": 30, "loadSeconds": 540},
        "effective": EFFECTIVE.model_dump(by_alias=True, exclude_none=True),
    }
    assert {c["observedGeneration"] for c in verdict.status["conditions"]} == {9}
    assert verdict.requeue_after_s is None


def test_a_service_at_zero_explains_how_to_wake_it() -> None:
    assert (
        "kubectl -n team-a scale infsvc/smollm --replicas=1"
        in conditions(World(replicas=0).verdict())["Ready"]["message"]
    )


def test_a_degraded_service_reports_how_many_answer_and_why_not_all() -> None:
    message = conditions(World(serving("a"), BROKEN, replicas=2).verdict())["Ready"]["message"]
    assert message.startswith("1 of 2 replicas are ready. The others are not: The engine exited with code 1: Runtime")


def test_what_was_known_of_a_model_stays_while_no_pod_reports() -> None:
    stored = {
        "model": {"digest": DIGEST},
        "url": "http://x",
        "effective": EFFECTIVE.model_dump(by_alias=True, exclude_none=True),
    }
    fields = World(problem=REFUSED).verdict(stored).status
    assert {name: fields[name] for name in stored} == stored


def test_an_invalid_object_has_a_status_too() -> None:
    body = {"metadata": {"namespace": "a", "name": "b", "generation": 4}, "spec": {"replicas": 2}}
    seen = facts(Children({}, ()), fetch_states={}, events={})
    verdict = status(Assessment(body, None, InvalidError("InvalidSpec", "spec.model: missing."), seen, NOW))
    assert verdict.status["observedGeneration"] == 4
    assert verdict.status["desiredReplicas"] == 2
    assert {c["reason"] for c in verdict.status["conditions"]} == {"InvalidSpec"}


def test_the_same_world_gives_the_same_status_later() -> None:
    for world in (World(serving()), World(CRASHED), World(loading()), World(replicas=0)):
        first = world.verdict()
        again = world.verdict(first.status, NOW + timedelta(seconds=14))
        assert again.status == first.status
        assert again.events == ()


def test_a_transition_time_moves_with_the_status_and_not_with_the_reason() -> None:
    later = NOW + timedelta(seconds=60)
    starting = World(loading()).verdict()
    failed = conditions(World(CRASHED).verdict(starting.status, later))["Ready"]
    assert failed["lastTransitionTime"] == "2026-11-22T12:00:00Z"
    ready = conditions(World(serving()).verdict(starting.status, later))["Ready"]
    assert ready["lastTransitionTime"] == "2026-11-22T12:01:00Z"


def events_of(before: World, after: World) -> list[tuple[str, str]]:
    return [(e.type, e.reason) for e in after.verdict(before.verdict().status).events]


def test_events_report_transitions() -> None:
    assert events_of(World(loading()), World(serving())) == [("Normal", "Ready")]
    assert events_of(World(serving()), World(CRASHED)) == [("Warning", "EngineFailed")]
    stuck = World(serving("a", template=OLD), BROKEN)
    assert events_of(World(serving()), stuck) == [("Warning", "ServingPrevious"), ("Warning", "EngineFailed")]


def test_a_crash_more_is_no_event() -> None:
    assert events_of(World(crashed("boom", restarts=4)), World(crashed("boom", restarts=5))) == []


def test_a_crashing_engine_has_one_reason_through_all_of_its_states() -> None:
    last: dict[str, Any] = {"engine_last": ended(1, "OSError: [Errno 98] Address already in use"), "restarts": 4}
    turns = (
        crashed("OSError: [Errno 98] Address already in use", restarts=4),
        loading(**last),
        pod(fetch=ended(0), engine=ended(1, "OSError: [Errno 98] Address already in use"), restarts=4),
        serving(changed_s=2, **last),
    )
    messages = [conditions(World(turn).verdict())["Ready"]["message"] for turn in turns]
    causes = {message.split(" The kubelet restarts it")[0].split(" It has been answering")[0] for message in messages}
    assert len(causes) == 1
    assert ["restarts it at about 2026-11-22T12:04:50Z." in message for message in messages] == [True] + [False] * 3


@pytest.mark.parametrize(
    ("world", "after_s"),
    [
        pytest.param(World(serving()), None, id="nothing changes by itself"),
        pytest.param(World(pod(fetch=running(9))), 5, id="progress"),
        pytest.param(World(), 30, id="pods that are not made"),
        pytest.param(World(replicas=0), None, id="no replicas are desired"),
        pytest.param(World(deployment={}, problem=REFUSED), None, id="a refused spec"),
        pytest.param(World(loading()), 30, id="what none of our watches reports"),
        pytest.param(World(loading(engine=running(1790))), 10, id="the start's deadline"),
        pytest.param(World(loading(engine=running(9999))), 30, id="a deadline that is over"),
        pytest.param(World(pod(refused="no node")), 30, id="a node that becomes free"),
        pytest.param(World(pod(begun_s=5)), 15, id="until Events are looked up"),
        pytest.param(World(pod(begun_s=50)), 20, id="until Events are looked up again"),
        pytest.param(World(serving(engine_last=ended(1), restarts=7, changed_s=10)), 20, id="the end of a crash loop"),
        pytest.param(
            World(serving(), problem=NotReadyError("PredecessorTerminating", "Wait.", 7)),
            7,
            id="the time that an error sets",
        ),
        pytest.param(World(pod("a", fetch=running(9)), pod("b", begun_s=19)), 1, id="the first of several"),
    ],
)
def test_a_service_is_looked_at_again_when_time_may_have_changed_it(world: World, after_s: float | None) -> None:
    assert world.verdict().requeue_after_s == after_s


def test_fetchers_are_queried_while_they_run_and_events_only_of_silent_pods() -> None:
    pods = (
        pod("fetching", fetch=running(9)),
        pod("creating", begun_s=5),
        pod("stuck", begun_s=21),
        loading("unready", started=True, changed_s=21),
        serving("fine"),
        pod("going", fetch=running(9), deletionTimestamp=ago(1)),
    )
    found = questions(Children({}, tuple(map(pod_facts, pods))), NOW)
    assert found.fetchers == {"uid-of-fetching": "10.0.0.7"}
    assert list(found.events) == ["uid-of-stuck", "uid-of-unready"]
    assert found.events["uid-of-stuck"] == "involvedObject.uid=uid-of-stuck"


def test_what_a_running_fetcher_reports_of_the_model_reaches_the_status() -> None:
    state = FetchReport(phase=Phase.DOWNLOADING, digest=DIGEST, bytes_total=7)
    verdict: StatusUpdate = World(pod(fetch=running(9)), states={"uid-of-smollm-1": state}).verdict()
    assert verdict.status["model"] == {"digest": DIGEST, "sizeBytes": 7}


def test_a_mounted_model_is_reported_as_such_without_a_digest() -> None:
    state = FetchReport(phase=Phase.DONE, mounted=True, bytes_total=7)
    world = World(pod(fetch=running(9), engine=running(5)), states={"uid-of-smollm-1": state})
    verdict = world.verdict({"model": {"digest": DIGEST, "sizeBytes": 270_000_000}})
    assert verdict.status["model"] == {"sizeBytes": 7}
    assert conditions(verdict)["ModelCached"]["reason"] == "Mounted"


def test_the_newest_event_decides_whatever_the_order_of_the_list() -> None:
    failed = event("FailedMount", "configmap not found", 5)
    for events in ((failed, event("Pulling", "", 50)), (event("Pulling", "", 50), failed)):
        world = World(pod(), events={"uid-of-smollm-1": events})
        assert conditions(world.verdict())["Ready"]["reason"] == "VolumeMountFailed"


CHANGES = ("engine image vllm/vllm-openai:v0.32.0 -> vllm/vllm-openai:v0.33.0", "engine command --drain-s 60 -> 90")
OUTDATED = dataclasses.replace(target(), refresh_changes=CHANGES)
REFUSED_ANEW = dataclasses.replace(target(), refresh_refusal=InvalidError("UnknownProfile", "There is no gpu-small."))


def test_what_a_refresh_would_change_is_named_with_the_way_to_take_it() -> None:
    update = conditions(World(serving("a"), desired=OUTDATED).verdict())["UpdateAvailable"]
    assert (update["status"], update["reason"]) == ("True", "RefreshChangesPods")
    assert f"would change {CHANGES[0]}; {CHANGES[1]}." in update["message"]
    assert update["message"].endswith(
        "kubectl -n team-a annotate infsvc/smollm serving.modelyard.dev/refresh=$(date +%s) --overwrite"
    )


def test_the_longest_changes_leave_room_for_the_way_to_take_them() -> None:
    longest = ("x" * CHANGE_LENGTH,) * CHANGES_LIMIT
    desired = dataclasses.replace(target(), refresh_changes=(*longest, "99 more"))
    update = conditions(World(serving("a"), desired=desired).verdict())["UpdateAvailable"]
    names_grow = (63 - len("team-a")) + (names.NAME_LENGTH - len("smollm"))
    assert update["message"].endswith("--overwrite")
    assert len(update["message"]) + names_grow <= MESSAGE_LENGTH


@pytest.mark.parametrize("desired", [OUTDATED, REFUSED_ANEW])
def test_an_available_update_is_no_problem_and_nothing_under_way(desired: Target) -> None:
    found = conditions(World(serving("a"), desired=desired).verdict())
    assert {type_: found[type_]["status"] for type_ in ("Ready", "Accepted", "Available", "Progressing")} == {
        "Ready": "True",
        "Accepted": "True",
        "Available": "True",
        "Progressing": "False",
    }
    assert found.keys().isdisjoint({"Reconciling", "Stalled"})


def test_an_available_update_is_no_event() -> None:
    settled = World(serving("a")).verdict().status
    assert World(serving("a"), desired=OUTDATED).verdict(settled).events == ()


def test_the_offer_is_taken_back_once_there_is_nothing_to_take() -> None:
    before = World(serving("a"), desired=OUTDATED).verdict()
    update = conditions(World(serving("a")).verdict(before.status))["UpdateAvailable"]
    assert (update["status"], update["reason"]) == ("False", "UpToDate")


def test_what_a_refresh_would_change_is_unknown_while_the_spec_is_refused() -> None:
    update = conditions(World(serving("a"), problem=REFUSED).verdict())["UpdateAvailable"]
    assert (update["status"], update["reason"]) == ("Unknown", "UnknownEngine")


def test_what_would_be_refused_if_created_again_is_reported_while_the_spec_stays_accepted() -> None:
    found = conditions(World(serving("a"), desired=REFUSED_ANEW).verdict())
    assert (found["Accepted"]["status"], found["Accepted"]["reason"]) == ("True", "AcceptedAsRecorded")
    assert "would refuse them (UnknownProfile): There is no gpu-small." in found["Accepted"]["message"]
    assert (found["UpdateAvailable"]["status"], found["UpdateAvailable"]["reason"]) == ("False", "AcceptedAsRecorded")
