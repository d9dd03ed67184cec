"""A service that stops when idle, and starts again when woken. The stories are played side by side."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime

import pytest

from e2e.support.kubectl import Kubectl, Object, condition
from e2e.support.scaling import READY_S, history, numbers, replicas, scaled, scaling_of, serves, start, stays_so
from e2e.support.services import pods_of
from e2e.support.side_by_side import Story, named, side_by_side
from e2e.support.streams import streams
from tests.support.eventually import eventually

WAKE = "serving.modelyard.dev/wake"
IDLE_S = 60
STOPPED_S = 300
"""The idle window, a few rounds of decisions, and a minute in which nothing else may fall."""
SCALING: Object = {"minReplicas": 0, "maxReplicas": 2, "idleAfterSeconds": IDLE_S}


def wake(kubectl: Kubectl, name: str) -> None:
    """As the documents have it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kubectl.run("annotate", f"infsvc/{name}", f"{WAKE}={now}", "--overwrite")


def is_stopped(kubectl: Kubectl, name: str) -> bool:
    """At zero, and reported so."""
    ready = condition(kubectl.get("infsvc", name), "Ready") or {}
    return replicas(kubectl, name) == 0 and ready.get("reason") == "ScaledToZero"


def an_idle_service_stops_after_its_window_and_fifty_wakes_are_one_start(kubectl: Kubectl) -> None:
    name = start(kubectl, scaled("idle", SCALING))
    with streams(kubectl, name, clients=1, tokens=5):
        stays_so(lambda: replicas(kubectl, name) == 1, for_s=IDLE_S + 30)
    last_s = datetime.now(UTC).timestamp()
    eventually(lambda: is_stopped(kubectl, name), within_s=STOPPED_S, every_s=1)
    stopped = scaling_of(kubectl, name)["history"][0]
    assert (stopped["from"], stopped["to"], stopped["reason"]) == (1, 0, "Idle")
    assert datetime.fromisoformat(stopped["time"]).timestamp() - last_s >= IDLE_S - 15, "it stopped before its window"

    with numbers(kubectl, name) as seen:
        for _ in range(50):
            wake(kubectl, name)
        serves(kubectl, name, 1, within_s=READY_S)
        stays_so(lambda: replicas(kubectl, name) == 1, for_s=30)
        assert seen == [0, 1]
    assert history(kubectl, name)[-2:] == [(1, 0), (0, 1)]


def a_service_woken_while_it_goes_down_ends_at_one(kubectl: Kubectl) -> None:
    slow_end = {"STANDIN_TEARDOWN_S": "30"}
    name = start(kubectl, scaled("turned", SCALING, environment=slow_end, drain={"timeoutSeconds": 60}))
    [before] = [pod["metadata"]["uid"] for pod in pods_of(kubectl, name)]
    eventually(lambda: replicas(kubectl, name) == 0, within_s=STOPPED_S, every_s=0.5)
    assert kubectl.list("pods", f"serving.modelyard.dev/service={name}"), "it was gone before it could be woken"
    wake(kubectl, name)

    serves(kubectl, name, 1, within_s=READY_S)
    [after] = [pod["metadata"]["uid"] for pod in pods_of(kubectl, name)]
    assert after != before
    stays_so(lambda: replicas(kubectl, name) == 1, for_s=IDLE_S - 15)


def the_scale_subresource_wakes_as_well(kubectl: Kubectl) -> None:
    name = start(kubectl, scaled("scaled-up", SCALING))
    eventually(lambda: is_stopped(kubectl, name), within_s=STOPPED_S, every_s=1)
    kubectl.run("scale", f"infsvc/{name}", "--replicas=1")
    serves(kubectl, name, 1, within_s=READY_S)
    eventually(lambda: is_stopped(kubectl, name), within_s=STOPPED_S, every_s=1)


def a_service_that_loads_is_not_stopped(kubectl: Kubectl) -> None:
    """Its model takes longer to load than the idle window."""
    kubectl.apply(scaled("loads", SCALING, environment={"STANDIN_LOAD_S": str(2 * IDLE_S)}))
    name = "loads"
    eventually(lambda: kubectl.exists("deployment", name), within_s=60)
    with numbers(kubectl, name) as seen:
        kubectl.wait(f"infsvc/{name}", "condition=Ready", READY_S + 2 * IDLE_S)
        assert seen == [1]
        ready_s = datetime.now(UTC).timestamp()
        eventually(lambda: replicas(kubectl, name) == 0, within_s=STOPPED_S, every_s=1)
    assert datetime.now(UTC).timestamp() - ready_s >= IDLE_S - 15


STORIES: tuple[Story, ...] = (
    an_idle_service_stops_after_its_window_and_fifty_wakes_are_one_start,
    a_service_woken_while_it_goes_down_ends_at_one,
    the_scale_subresource_wakes_as_well,
    a_service_that_loads_is_not_stopped,
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, module_namespace: Kubectl) -> Iterator[Mapping[str, Future[None]]]:
    """What becomes of each story."""
    with side_by_side(request, module_namespace, STORIES) as futures:
        yield futures


@pytest.mark.parametrize("story", STORIES, ids=named)
def test_zero(story: Story, played: Mapping[str, Future[None]]) -> None:
    played[named(story)].result()
