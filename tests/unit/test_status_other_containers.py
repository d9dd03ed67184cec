"""Containers that are not ours, of podTemplate or injected: each is named with its cause, the engine is not blamed."""

from datetime import timedelta
from typing import Any

import pytest

from modelyard.api.service import Object
from tests.support.observed import (
    FETCHED,
    NOW,
    World,
    conditions,
    ended,
    event,
    loading,
    pod,
    running,
    serving,
    target,
    waiting,
    with_container,
)

UID = "uid-of-smollm-1"
BACK_OFF = waiting("CrashLoopBackOff", "back-off 20s restarting failed container=proxy pod=smollm-1_team-a(uid)")
BEFORE: dict[str, Any] = {"kind": "initContainers", "first": True}
BEHIND: dict[str, Any] = {"kind": "initContainers"}
SIDECAR: dict[str, Any] = {"kind": "initContainers", "first": True, "sidecar": True}


def beside(state: Object, **fields: Any) -> World:
    """A pod whose engine loads the model, with a container beside it."""
    return World(with_container(loading(), "proxy", state, **fields))


def before(state: Object, **fields: Any) -> World:
    """A pod whose fetcher waits for an init container or a sidecar."""
    return World(with_container(pod(), "proxy", state, **{**BEFORE, **fields}))


def behind(state: Object, **fields: Any) -> World:
    """A pod whose model is fetched and whose engine waits for an init container or a sidecar."""
    return World(with_container(pod(fetch=FETCHED), "proxy", state, **{**BEHIND, **fields}))


def up(state: Object, *events: Object, engine_ready: bool = True, **fields: Any) -> World:
    """A pod whose engine is ready, and which is not, for a container beside it."""
    made = loading(started=True, engine=running(300), begun_s=400, changed_s=400)
    made["status"]["containerStatuses"][0]["ready"] = engine_ready
    return World(with_container(made, "proxy", state, **fields), events={UID: events})


def probe(kind: str, seen_s: float = 5, *, field: str = "spec.containers{proxy}") -> Object:
    return event("Unhealthy", f"{kind} probe failed: connection refused", seen_s, field=field)


UNDER_WAY = {
    "an init container that runs": (
        before(running(5)),
        "WaitingForContainer",
        "is waiting for container proxy, which is not modelyard's own: it has to end before",
    ),
    "an init container behind the fetcher that runs": (
        behind(running(25)),
        "WaitingForContainer",
        "before the next container starts (over 20 s).",
    ),
    "an init container that has run well": (before(ended(0)), "Preparing", ""),
    "an init container that has run well after a failure": (before(ended(0), last=ended(1)), "Preparing", ""),
    "an init container that is not reached": (before(waiting("PodInitializing")), "Preparing", ""),
    "an init container that waits longer than its failed run": (
        before(running(61), last=ended(1, ran_s=40, since_s=62)),
        "WaitingForContainer",
        "",
    ),
    "a sidecar whose start-up probe has not passed": (
        World(
            with_container(pod(), "proxy", running(5), started=False, **SIDECAR),
            events={UID: (probe("Startup", field="spec.initContainers{proxy}"),)},
        ),
        "WaitingForContainer",
        "its start-up probe must pass (Startup probe failed: connection refused)",
    ),
    "a sidecar that started before the fetcher": (
        World(with_container(pod(fetch=running(5)), "proxy", running(9), **SIDECAR)),
        "Fetching",
        "",
    ),
    "a container beside an engine that loads, not ready as long as that loads": (beside(running(20)), "Starting", ""),
    "a container whose node was restarted": (
        beside(running(5), last=ended(255, reason="Unknown")),
        "Starting",
        "",
    ),
    "a container that was started a moment ago": (up(running(5)), "WaitingForContainer", "it is not ready yet"),
    "a container whose image is pulled beside the engine": (
        up(waiting("ContainerCreating")),
        "WaitingForContainer",
        "container proxy",
    ),
    "an engine that is not ready either": (up(running(300), engine_ready=False), "Starting", ""),
}

PROBLEMS = {
    "an image that is not there": (
        beside(waiting("ErrImagePull", 'failed to resolve "registry.example.com/proxy:1": not found')),
        "ImagePullFailed",
        "registry.example.com/proxy:1 of container proxy cannot be pulled",
        "(spec.podTemplate",
    ),
    "the back-off from its pull": (
        beside(waiting("ImagePullBackOff", 'Back-off pulling image "registry.example.com/proxy:1": ErrImagePull: 401')),
        "ImagePullFailed",
        "of container proxy",
        "pull secret",
    ),
    "an init container's image": (
        before(waiting("InvalidImageName", "couldn't parse image name")),
        "ImagePullFailed",
        "of container proxy",
        "(spec.podTemplate",
    ),
    "a sidecar's image": (
        before(waiting("ErrImageNeverPull", "is not present with pull policy of Never"), sidecar=True),
        "ImagePullFailed",
        "of container proxy",
        "Load the image",
    ),
    "a Secret of its environment": (
        beside(waiting("CreateContainerConfigError", 'secret "theirs" not found')),
        "SecretMissing",
        'container proxy: secret "theirs" not found',
        "podTemplate",
    ),
    "an unusable configuration": (
        behind(waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")),
        "ContainerConfigInvalid",
        "Container proxy cannot be set up: container has runAsNonRoot",
        "spec.podTemplate",
    ),
    "a command that is not in the image": (
        beside(waiting("RunContainerError", 'exec: "envoy": executable file not found in $PATH')),
        "ContainerFailed",
        'Container proxy, which is not modelyard\'s own, cannot start: exec: "envoy"',
        "spec.podTemplate",
    ),
    "a command that was not in the image, in a loop": (
        beside(BACK_OFF, last=ended(128, 'exec: "envoy": not found', reason="StartError"), restarts=4),
        "ContainerFailed",
        'keeps ending, last with exit code 128: exec: "envoy"',
        "The kubelet restarts it at about 2026-11-22T12:00:10Z.",
    ),
    "a container that ended": (
        beside(ended(3, "cannot read /etc/proxy.yaml")),
        "ContainerFailed",
        "ended with exit code 3: cannot read /etc/proxy.yaml",
        "logs smollm-1 -c proxy --previous",
    ),
    "a container that was started again": (
        beside(running(2), last=ended(3, "cannot read /etc/proxy.yaml"), restarts=1),
        "ContainerFailed",
        "ended with exit code 3: cannot read",
        "",
    ),
    "a container that ended well": (
        beside(BACK_OFF, last=ended(0), restarts=2),
        "ContainerFailed",
        "ended with exit code 0: a container beside the engine must keep running",
        "",
    ),
    "a container that ran out of memory": (
        beside(BACK_OFF, last=ended(137, reason="OOMKilled"), restarts=1),
        "ContainerFailed",
        "it ran out of memory (OOMKilled), so raise its memory limit",
        "",
    ),
    "an init container that fails": (
        before(BACK_OFF, last=ended(1, "no route to host"), restarts=2),
        "ContainerFailed",
        "ended with exit code 1: no route to host",
        "-c proxy",
    ),
    "an init container that tries again": (
        before(running(9), last=ended(1, "no route to host", ran_s=20)),
        "ContainerFailed",
        "no route to host",
        "",
    ),
    "an init container behind the fetcher that fails": (
        behind(ended(1, "no route to host")),
        "ContainerFailed",
        "no route to host",
        "",
    ),
    "a sidecar that fails before the fetcher": (
        World(with_container(pod(), "proxy", BACK_OFF, last=ended(2, "bad config"), restarts=5, **SIDECAR)),
        "ContainerFailed",
        "keeps ending, last with exit code 2: bad config",
        "",
    ),
    "a sidecar that fails while the model is fetched": (
        World(with_container(pod(fetch=running(9)), "proxy", ended(2, "bad config"), **SIDECAR)),
        "ContainerFailed",
        "bad config",
        "",
    ),
    "a start-up probe that ended a sidecar": (
        World(
            with_container(pod(), "proxy", BACK_OFF, last=ended(137, ran_s=30), **SIDECAR),
            events={UID: (probe("Startup", 12, field="spec.initContainers{proxy}"),)},
        ),
        "ContainerFailed",
        "exit code 137: the kubelet ended it for its probe: Startup probe failed: connection refused",
        "",
    ),
    "a liveness probe that ended a container": (
        World(
            with_container(loading(), "proxy", BACK_OFF, last=ended(143, ran_s=30)),
            events={UID: (probe("Readiness", 12, field="spec.containers{engine}"), probe("Liveness", 13))},
        ),
        "ContainerFailed",
        "exit code 143: the kubelet ended it for its probe: Liveness probe failed",
        "",
    ),
    "a start-up probe that ended a sidecar which ends well": (
        World(
            with_container(pod(), "proxy", BACK_OFF, last=ended(0, ran_s=30), **SIDECAR),
            events={UID: (probe("Startup", 12, field="spec.initContainers{proxy}"),)},
        ),
        "ContainerFailed",
        "exit code 0: the kubelet ended it for its probe: Startup probe failed",
        "",
    ),
    "a container that ended by itself between failed probes": (
        World(
            with_container(loading(), "proxy", BACK_OFF, last=ended(1, "no upstream", ran_s=30)),
            events={UID: (probe("Readiness", 13),)},
        ),
        "ContainerFailed",
        "exit code 1: no upstream",
        "",
    ),
    "a readiness probe that fails": (
        up(running(200), probe("Readiness")),
        "ContainerNotReady",
        "has not been since 2026-11-22T11:56:40Z: Readiness probe failed: connection refused",
        "spec.podTemplate",
    ),
    "a readiness probe that fails without an Event": (
        up(running(200)),
        "ContainerNotReady",
        "its readiness probe fails",
        "-c proxy",
    ),
    "a start-up probe that fails beside the engine": (
        up(running(200), started=False),
        "ContainerNotReady",
        "its start-up probe fails",
        "",
    ),
    "a sidecar that is not ready": (up(running(380), **SIDECAR), "ContainerNotReady", "container proxy", ""),
    "an engine that failed as well": (
        World(
            with_container(
                pod(fetch=FETCHED, engine=BACK_OFF, engine_last=ended(1, "RuntimeError: worker died"), restarts=1),
                "proxy",
                BACK_OFF,
                last=ended(1, "no upstream"),
            )
        ),
        "EngineFailed",
        "worker died",
        "",
    ),
    "an init container that hangs for the whole start-up time": (
        World(with_container(pod(begun_s=601), "proxy", running(590), **BEFORE), desired=target(startup_timeout_s=600)),
        "StartTimeout",
        "it was still waiting for container proxy",
        "",
    ),
    "a loop at a moment when the pod is ready": (
        World(
            with_container(
                serving(changed_s=3), "proxy", running(3), last=ended(1, "no upstream"), ready=True, restarts=1
            )
        ),
        "ContainerFailed",
        "no upstream",
        "",
    ),
}


def test_a_container_that_came_back_long_ago_is_forgotten() -> None:
    back = with_container(
        serving(changed_s=31), "proxy", running(60), last=ended(1, since_s=61), ready=True, restarts=1
    )
    assert conditions(World(back).verdict())["Ready"]["status"] == "True"


def test_a_pod_whose_other_container_failed_is_looked_at_when_it_has_settled() -> None:
    looped = with_container(serving(changed_s=3), "proxy", running(3), last=ended(1), ready=True, restarts=1)
    verdict = World(looped).verdict()
    assert verdict.requeue_after_s == pytest.approx(27)
    settled = World(looped).verdict(now=NOW + timedelta(seconds=27))
    assert conditions(settled)["Ready"]["status"] == "True"


def test_an_init_container_that_failed_long_ago_does_not_count_in_a_pod_that_serves() -> None:
    made = with_container(serving(), "proxy", ended(0), last=ended(1), restarts=3, **BEFORE)
    assert conditions(World(made).verdict())["Ready"]["status"] == "True"


def test_a_failed_probe_of_another_container_is_not_the_engines() -> None:
    made = loading(started=True, engine=running(300), begun_s=400, changed_s=400)
    world = World(with_container(made, "proxy", running(300)), events={UID: (probe("Readiness"),)})
    assert conditions(world.verdict())["Ready"]["reason"] == "Starting"
