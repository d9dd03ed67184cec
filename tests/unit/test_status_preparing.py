"""What the kubelet meets before a container runs: images, volumes, sandboxes, configuration."""

import pytest

from tests.support.observed import (
    World,
    event,
    pod,
    waiting,
)
from tests.support.told import check_problem, check_under_way

UID = "uid-of-smollm-1"


def silent(*events: tuple[str, str, float]) -> World:
    return World(pod(), events={UID: tuple(event(*e) for e in events)})


UNDER_WAY = {
    "a node prepares the pod": (World(pod()), "Preparing", "Node worker-1 prepares"),
    "the node got past a failed mount": (
        silent(("FailedMount", "no such thing", 20), ("Pulling", "Pulling image", 5)),
        "Preparing",
        "",
    ),
}

PROBLEMS = {
    "an image that does not exist": (
        World(pod(engine=waiting("ErrImagePull", "rpc error: code = NotFound desc = x/vllm:9: not found"))),
        "ImagePullFailed",
        "Image registry.example.com/vllm:1 cannot be pulled: rpc error",
        "Correct the image's name or tag",
    ),
    "an image during back-off": (
        World(
            pod(
                fetch=waiting(
                    "ImagePullBackOff",
                    'Back-off pulling image "x": ErrImagePull: failed to authorize: 401 Unauthorized',
                )
            )
        ),
        "ImagePullFailed",
        "registry.example.com/fetch:1 cannot be pulled: failed to authorize",
        "pull secret",
    ),
    "an image during an older kubelet's back-off": (
        World(
            pod(engine=waiting("ImagePullBackOff", 'Back-off pulling image "x"')),
            events={UID: (event("Failed", "Failed to pull image: dial tcp: lookup registry: no such host"),)},
        ),
        "ImagePullFailed",
        "no such host",
        "cannot reach the registry",
    ),
    "an image's name": (
        World(pod(engine=waiting("InvalidImageName", "Failed to apply default image tag: couldn't parse image"))),
        "ImagePullFailed",
        "couldn't parse",
        "Correct the image's name (",
    ),
    "a certificate of a registry": (
        World(pod(engine=waiting("ErrImagePull", "tls: failed to verify certificate: x509: unknown authority"))),
        "ImagePullFailed",
        "x509",
        "CA installed",
    ),
    "a volume": (
        silent(("FailedMount", 'MountVolume.SetUp failed for volume "ca-bundle" : configmap "ca" not found', 4)),
        "VolumeMountFailed",
        'configmap "ca" not found',
        "Create what it names",
    ),
    "a sandbox": (
        silent(("FailedCreatePodSandBox", "Failed to create pod sandbox: no runtime for nvidia is configured", 4)),
        "SandboxFailed",
        "no runtime for nvidia",
        "runtime class",
    ),
    "a Secret of the environment": (
        World(pod(engine=waiting("CreateContainerConfigError", 'secret "token" not found'))),
        "ContainerConfigInvalid",
        'Container engine cannot be set up: secret "token" not found',
        "spec.engine.env",
    ),
    "a container that cannot be created": (
        World(pod(engine=waiting("CreateContainerError", "context deadline exceeded"))),
        "ContainerStartFailed",
        "deadline",
        "",
    ),
}


@pytest.mark.parametrize(("world", "reason", "says"), UNDER_WAY.values(), ids=UNDER_WAY)
def test_what_is_under_way_is_named(world: World, reason: str, says: str) -> None:
    check_under_way(world, reason, says)


@pytest.mark.parametrize(("world", "reason", "says", "remedy"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_is_named_with_its_cause_and_remedy(world: World, reason: str, says: str, remedy: str) -> None:
    check_problem(world, reason, says, remedy)


def test_an_image_that_was_not_pulled_keeps_its_cause_through_a_back_off_without_one() -> None:
    failed = World(pod(engine=waiting("ErrImagePull", "manifest unknown"))).verdict()
    backing_off = World(pod(engine=waiting("ImagePullBackOff", 'Back-off pulling image "x"')))
    assert backing_off.verdict(failed.status).status == failed.status
