"""Replicas follow demand, and stay where that is not known. The stories are played side by side."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future

import pytest

from e2e.support.kubectl import Kubectl, Object
from e2e.support.scaling import (
    BUSY,
    active,
    events,
    history,
    numbers,
    replicas,
    rises_and_falls_once,
    scaled,
    scaling_of,
    serves,
    silence,
    start,
    stays_so,
    time_of_day,
)
from e2e.support.services import pods_of
from e2e.support.side_by_side import Story, named, side_by_side
from e2e.support.streams import streams
from tests.support.eventually import eventually

DOWN_S = 900
"""Five minutes in which nothing may fall, and a minute for each replica, on a busy machine."""
DECISIONS_S = 60
"""A few rounds of decisions."""
AT_ONCE: Object = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}
"""Scaling down as fast as possible: what does not fall then, is held."""


def load_takes_a_service_from_one_to_three_replicas_and_back_without_a_flap(kubectl: Kubectl) -> None:
    name = start(kubectl, scaled("wave", {"maxReplicas": 3}))
    with numbers(kubectl, name) as seen:
        with streams(kubectl, name, clients=BUSY) as busy:
            serves(kubectl, name, 3)
            assert busy.errors() == []
        with streams(kubectl, name, clients=1) as calm:
            serves(kubectl, name, 1, within_s=DOWN_S)
            assert calm.errors() == [], "scaling down cut streams"
        assert seen[0] == 1
        assert max(seen) == 3
        assert rises_and_falls_once(seen), f"it flapped: {seen}"
    assert history(kubectl, name)[-1] == (2, 1)
    assert len(events(kubectl, name, "ScaledDown")) == 2


def a_recommendation_changes_nothing(kubectl: Kubectl) -> None:
    name = start(kubectl, scaled("advised", {"maxReplicas": 3, "mode": "Recommend"}))
    with numbers(kubectl, name) as seen, streams(kubectl, name, clients=BUSY):
        advised = eventually(lambda: scaling_of(kubectl, name), lambda found: found.get("desired", 0) > 1, within_s=180)
        stays_so(lambda: replicas(kubectl, name) == 1, for_s=DECISIONS_S)
        assert seen == [1]
    assert advised["mode"] == "Recommend"
    assert scaling_of(kubectl, name).get("history", []) == []
    status, reason, message = active(kubectl, name)
    assert (status, reason) == ("False", "Recommending")
    assert "spec.scaling.mode" in message


def a_file_applied_anew_takes_nothing_away(kubectl: Kubectl) -> None:
    body = scaled("applied", {"maxReplicas": 3})
    name = start(kubectl, body)
    with streams(kubectl, name, clients=BUSY) as busy:
        serves(kubectl, name, 3)
        with numbers(kubectl, name) as seen:
            with_number = scaled("applied", {"maxReplicas": 3}, replicas=1)
            kubectl.apply(with_number)
            eventually(lambda: events(kubectl, name, "ReplicasOverruled"), within_s=DECISIONS_S, every_s=2)
            kubectl.apply(body)  # without the line again: the field is back at its default
            kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(with_number))
            stays_so(lambda: replicas(kubectl, name) == 3, for_s=DECISIONS_S)
            assert seen == [3]
        assert busy.errors() == []
    (first, *_) = events(kubectl, name, "ReplicasOverruled")
    assert "kubectl" in first
    assert "ignoreDifferences" in first


def a_renamed_metric_is_named_and_holds_what_runs(kubectl: Kubectl) -> None:
    renamed = {"STANDIN_RENAMED_METRIC": "vllm:num_requests_waiting=vllm:requests_queued"}
    scaling: Object = {"maxReplicas": 3, "targets": {"queueDepth": 1}, "scaleDown": AT_ONCE}
    name = start(kubectl, scaled("renamed", scaling, environment=renamed, replicas=2))
    serves(kubectl, name, 2)
    [pod, _] = [pod["metadata"]["name"] for pod in pods_of(kubectl, name)]

    def is_named() -> bool:
        status, reason, message = active(kubectl, name)
        named_all = "vllm:num_requests_waiting" in message and "http://" in message
        return (status, reason) == ("False", "MetricsUnavailable") and named_all

    eventually(is_named, within_s=180, every_s=2)
    assert pod in active(kubectl, name)[2]
    stays_so(lambda: replicas(kubectl, name) == 2, for_s=DECISIONS_S)


def without_metrics_what_runs_stays_and_the_minimum_of_a_schedule_still_rises(kubectl: Kubectl) -> None:
    name = start(kubectl, scaled("blocked", {"maxReplicas": 3, "scaleDown": AT_ONCE}, replicas=2))
    with streams(kubectl, name, clients=BUSY):
        serves(kubectl, name, 3)
        for pod in pods_of(kubectl, name):
            silence(kubectl, str(pod["metadata"]["name"]))
        eventually(lambda: active(kubectl, name)[1] == "MetricsUnavailable", within_s=180, every_s=2)
    message = active(kubectl, name)[2]
    assert all(pod["metadata"]["name"] in message for pod in pods_of(kubectl, name)[:1])
    stays_so(lambda: replicas(kubectl, name) == 3, for_s=DECISIONS_S)

    floor = {"start": time_of_day(-1), "end": time_of_day(120), "minReplicas": 4}
    patch = {"spec": {"scaling": {"maxReplicas": 4, "schedules": [floor]}}}
    kubectl.run("patch", f"infsvc/{name}", "--type=merge", f"--patch={json.dumps(patch)}")
    serves(kubectl, name, 4)
    assert scaling_of(kubectl, name)["history"][0]["reason"] == "Scheduled"


STORIES: tuple[Story, ...] = (
    load_takes_a_service_from_one_to_three_replicas_and_back_without_a_flap,
    a_recommendation_changes_nothing,
    a_file_applied_anew_takes_nothing_away,
    a_renamed_metric_is_named_and_holds_what_runs,
    without_metrics_what_runs_stays_and_the_minimum_of_a_schedule_still_rises,
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, module_namespace: Kubectl) -> Iterator[Mapping[str, Future[None]]]:
    """What becomes of each story."""
    with side_by_side(request, module_namespace, STORIES) as futures:
        yield futures


@pytest.mark.parametrize("story", STORIES, ids=named)
def test_demand(story: Story, played: Mapping[str, Future[None]]) -> None:
    played[named(story)].result()
