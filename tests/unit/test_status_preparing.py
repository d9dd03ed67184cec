"""What the kubelet meets before a container runs: images, volumes, sandboxes, configuration."""

from tests.support.observed import (
    World,
    event,
    pod,
    waiting,
)

UID = "uid-of-smollm-1"


def silent(*events: tuple[str, str, float]) -> World:
    return World(pod(), events={UID: tuple(event(*e) for e in events)})


UNDER_WAY = {
    "a node prepares the pod": (World(pod()), "Preparing", "Node worker-1 prepares"),
    "a node prepares the pod for long": (
        silent(("Pulling", 'Pulling image "registry.example.com/vllm:1"', 5)),
        "Preparing",
        'prepares the pod for more than 1 min: it is pulling image "registry.example.com/vllm:1".',
    ),
    "a pulled image": (silent(("Pulled", "Successfully pulled", 5)), "Preparing", "it creates its containers"),
    "an attached volume": (silent(("SuccessfulAttachVolume", "ok", 5)), "Preparing", "it attached its volumes"),
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
        silent(("FailedAttachVolume", "Multi-Attach error for volume pvc-1: already used by another pod", 4)),
        "VolumeMountFailed",
        "Multi-Attach error",
        "Create what it names",
    ),
    "a mounted ConfigMap": (
        silent(("FailedMount", 'MountVolume.SetUp failed for volume "ca-bundle" : configmap "ca" not found', 4)),
        "ConfigMapMissing",
        'configmap "ca" not found',
        "Create it in namespace team-a",
    ),
    "a key of a mounted ConfigMap": (
        silent(("FailedMount", 'volume "ca-bundle" : configmap references non-existent config key: ca.crt', 4)),
        "KeyMissing",
        "ca.crt",
        "Add the key in namespace team-a",
    ),
    "a mounted Secret": (
        silent(("FailedMount", 'MountVolume.SetUp failed for volume "x" : secret "tls" not found', 4)),
        "SecretMissing",
        'secret "tls" not found',
        "Create it",
    ),
    "a mounted claim": (
        silent(("FailedMount", 'error processing PVC team-a/models: persistentvolumeclaim "models" not found', 4)),
        "VolumeClaimMissing",
        "models",
        "Create the PersistentVolumeClaim",
    ),
    "a sandbox": (
        silent(("FailedCreatePodSandBox", "Failed to create pod sandbox: no runtime for nvidia is configured", 4)),
        "SandboxFailed",
        "no runtime for nvidia",
        "runtime class",
    ),
    "a Secret of the environment": (
        World(pod(engine=waiting("CreateContainerConfigError", 'secret "token" not found'))),
        "SecretMissing",
        'does not exist: secret "token" not found',
        "spec.engine.env",
    ),
    "a ConfigMap of the environment": (
        World(pod(engine=waiting("CreateContainerConfigError", 'configmap "flags" not found'))),
        "ConfigMapMissing",
        'configmap "flags" not found',
        "spec.engine.env",
    ),
    "a key of the environment": (
        World(pod(engine=waiting("CreateContainerConfigError", "couldn't find key HF_TOKEN in Secret team-a/token"))),
        "KeyMissing",
        "key HF_TOKEN in Secret team-a/token",
        "Add the key",
    ),
    "an image that wants to be root": (
        World(
            pod(
                engine=waiting(
                    "CreateContainerConfigError", "container has runAsNonRoot and image will run as root (pod: ...)"
                )
            )
        ),
        "ContainerConfigInvalid",
        "Container engine cannot be set up: container has runAsNonRoot",
        "spec.engine",
    ),
    "an image whose pull secret is missing": (
        World(
            pod(engine=waiting("ErrImagePull", "failed to authorize: 401 Unauthorized")),
            events={
                UID: (
                    event(
                        "FailedToRetrieveImagePullSecret",
                        "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not "
                        "succeed.",
                    ),
                )
            },
        ),
        "ImagePullFailed",
        "401 Unauthorized. Create the pull secrets that namespace team-a lacks: regcred.",
        "tries again by itself, at least every 5 minutes",
    ),
    "a container that cannot be created": (
        World(pod(engine=waiting("CreateContainerError", "context deadline exceeded"))),
        "ContainerStartFailed",
        "deadline",
        "",
    ),
}


def test_an_image_that_was_not_pulled_keeps_its_cause_through_a_back_off_without_one() -> None:
    failed = World(pod(engine=waiting("ErrImagePull", "manifest unknown"))).verdict()
    backing_off = World(pod(engine=waiting("ImagePullBackOff", 'Back-off pulling image "x"')))
    assert backing_off.verdict(failed.status).status == failed.status
