"""Pods that the API server refuses to take, and specs that are refused before that."""

from typing import get_args

import pytest

from modelyard.api.service import Object
from modelyard.contract.errors import InvalidError, Refusal
from modelyard.observe.facts.service import FAILED_CREATIONS, Children, questions, wants_retry
from tests.support.observed import (
    NOW,
    World,
    a_deployment,
    a_service,
    ago,
    conditions,
    event,
    pod,
    serving,
)


def refused(message: str) -> World:
    return World(deployment=a_deployment(refusal=message))


UNDER_WAY = {
    "nothing exists yet": (World(), "Creating", ""),
    "a pod that must stop ends as failed": (
        World({**pod(deletionTimestamp=ago(1)), "status": {"phase": "Failed"}}),
        "Creating",
        "",
    ),
}

PROBLEMS = {
    "a quota": (
        refused(
            'pods "smollm-5d9-x7k2p" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, '
            "used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2"
        ),
        "QuotaExceeded",
        "does not allow the pod: exceeded quota: gpus, requested",
        "kubectl -n team-a describe quota",
    ),
    "pod security": (
        refused('pods "smollm-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'),
        "PodSecurityRefused",
        "runAsNonRoot",
        "pod-security.kubernetes.io/enforce",
    ),
    "a missing service account": (
        refused(
            'pods "smollm-1" is forbidden: error looking up service account team-a/reader: serviceaccount "reader" '
            "not found"
        ),
        "ServiceAccountMissing",
        "team-a/reader",
        "spec.serviceAccountName",
    ),
    "a webhook": (
        refused('admission webhook "policy.example.com" denied the request: no GPUs on Fridays'),
        "AdmissionRefused",
        "no GPUs on Fridays",
        "webhook",
    ),
}


@pytest.mark.parametrize("reason", get_args(Refusal))
def test_a_refused_spec_is_named_in_the_words_of_who_refused_it(reason: Refusal) -> None:
    found = conditions(World(problem=InvalidError(reason, "This is wrong. Do that.")).verdict())
    for type_ in ("Ready", "Accepted", "Available", "Progressing"):
        assert (found[type_]["status"], found[type_]["reason"]) == ("False", reason)
        assert found[type_]["message"] == "This is wrong. Do that."
    assert found["Stalled"]["reason"] == reason


def test_a_refusal_reads_the_same_for_each_pod_that_is_tried() -> None:
    def message(name: str) -> str:
        world = refused(f'pods "{name}" is forbidden: exceeded quota: gpus')
        return str(conditions(world.verdict())["Ready"]["message"])

    assert message("smollm-abc") == message("smollm-xyz")


def test_a_service_that_is_deleted_reports_it() -> None:
    found = conditions(World(serving(), service=a_service(deleting=True)).verdict())
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "Deleting")


FIRST = 'pods "smollm-5d9-abc" is forbidden: exceeded quota: gpus'
LATER = 'Error creating: pods "smollm-5d9-xyz" is forbidden: error looking up service account team-a/x: not found'


def refused_again(message: str, seen_s: float = 10, about: str = "smollm-5d9f") -> Object:
    return event("FailedCreate", message, seen_s, about=about)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        pytest.param((refused_again(LATER),), "ServiceAccountMissing", id="a later refusal"),
        pytest.param(
            (refused_again(LATER, 10), refused_again(f"Error creating: {FIRST}", 20)),
            "ServiceAccountMissing",
            id="the newest of several",
        ),
        pytest.param(
            (refused_again(f"(combined from similar events): {LATER}"),), "ServiceAccountMissing", id="many of a kind"
        ),
        pytest.param((refused_again(LATER, 90),), "QuotaExceeded", id="of a trouble that was over before"),
        pytest.param((refused_again(LATER, about="smollm-2-5d9f"),), "QuotaExceeded", id="of another service"),
        pytest.param((refused_again(LATER, about="smollm"),), "QuotaExceeded", id="of something else"),
        pytest.param((), "QuotaExceeded", id="events that are gone"),
    ],
)
def test_the_latest_refusal_is_reported(events: tuple[Object, ...], reason: str) -> None:
    world = World(deployment=a_deployment(refusal=FIRST), events={FAILED_CREATIONS: events})
    assert conditions(world.verdict())["Ready"]["reason"] == reason
    assert "Error creating" not in conditions(world.verdict())["Ready"]["message"]


def test_the_events_of_a_replica_set_are_read_only_while_it_is_refused() -> None:
    assert FAILED_CREATIONS in questions(Children({"default": a_deployment(refusal=FIRST)}, ()), NOW).events
    assert questions(Children({"default": a_deployment()}, ()), NOW).events == {}


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        pytest.param(None, False, id="nothing was made yet"),
        pytest.param(a_deployment(), False, id="nothing is refused"),
        pytest.param(a_deployment(refusal=FIRST, refused_s=29), False, id="the controller itself still tries often"),
        pytest.param(a_deployment(refusal=FIRST, refused_s=30), True, id="refused for long"),
        pytest.param(a_deployment(refusal=FIRST, refused_s=90, retried_s=29), False, id="retried just now"),
        pytest.param(a_deployment(refusal=FIRST, refused_s=90, retried_s=30), True, id="retried a while ago"),
        pytest.param(a_deployment(refusal=FIRST, refused_s=5, retried_s=900), False, id="refused anew"),
    ],
)
def test_refused_pods_are_tried_again_every_half_minute(deployment: Object | None, expected: bool) -> None:
    assert wants_retry(deployment, NOW) == expected
