"""What the kubelet meets before a container runs: images, volumes, sandboxes, configuration."""

from datetime import timedelta

from modelyard.observe.facts.csi_nodes import Registered
from tests.support.observed import (
    NOW,
    World,
    event,
    pod,
    waiting,
)

UID = "uid-of-smollm-1"


def silent(*events: tuple[str, str, float]) -> World:
    return World(pod(), events={UID: tuple(event(*e) for e in events)})


NOT_REGISTERED = (
    'MountVolume.SetUp failed for volume "cache" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: '
    "driver name cache.serving.modelyard.dev not found in the list of registered CSI drivers"
)
NO_PATH = (
    'MountVolume.SetUp failed for volume "cache" : rpc error: code = FailedPrecondition desc = node worker-1 has no '
    "folder /mnt/models: mount the disk there."
)
SUMMARY = "Unable to attach or mount volumes: unmounted volumes=[cache]: context deadline exceeded"
NODE_CACHE = {"volumes": [{"name": "cache", "csi": {"driver": "cache.serving.modelyard.dev"}}]}


def without_mount(
    *messages: str,
    begun_s: float = 60,
    here: bool = False,
    anywhere: bool | None = True,
    joined_s: float | None = None,
) -> World:
    """A pod that waits for the node cache; the kubelet posted ``messages``, the newest last. ``joined_s``: ago."""
    events = tuple(event("FailedMount", message, 9 - n) for n, message in enumerate(messages))
    joined = {} if joined_s is None else {"worker-1": NOW - timedelta(seconds=joined_s)}
    registered = Registered({"worker-1": here}, anywhere, joined)
    return World(pod(begun_s=begun_s, spec=NODE_CACHE), events={UID: events}, registered=registered)


UNDER_WAY = {
    "a node that just joined, without the node cache yet": (
        without_mount(NOT_REGISTERED, begun_s=149),
        "Preparing",
        "waiting for the node's cache to start",
    ),
    "a node that joined a moment before, by its own word": (
        without_mount(NOT_REGISTERED, begun_s=120, joined_s=149),
        "Preparing",
        "waiting for the node's cache to start",
    ),
    "a node agent that is being replaced": (
        without_mount(NOT_REGISTERED, begun_s=19, joined_s=86400),
        "Preparing",
        "waiting for the node's cache to start",
    ),
    "a node cache that started after the kubelet's last try": (
        without_mount(NOT_REGISTERED, SUMMARY, begun_s=900, here=True),
        "Preparing",
        "the node's cache has started",
    ),
    "a node prepares the pod": (World(pod()), "Preparing", "Node worker-1 is preparing"),
    "a node prepares the pod for long": (
        silent(("Pulling", 'Pulling image "registry.example.com/vllm:1"', 5)),
        "Preparing",
        'is preparing the pod: pulling image "registry.example.com/vllm:1" (over 1 min).',
    ),
    "a pulled image": (silent(("Pulled", "Successfully pulled", 5)), "Preparing", "creating containers"),
    "an attached volume": (silent(("SuccessfulAttachVolume", "ok", 5)), "Preparing", "volumes are attached"),
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
        "install its CA",
    ),
    "a volume": (
        silent(("FailedAttachVolume", "Multi-Attach error for volume pvc-1: already used by another pod", 4)),
        "VolumeMountFailed",
        "Multi-Attach error",
        "Create what the message names",
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
    "a node without the node cache": (
        without_mount(NOT_REGISTERED, SUMMARY, begun_s=150),
        "NoNodeCache",
        "Node worker-1 has no model cache: the CSI driver cache.serving.modelyard.dev is not running there.",
        "spec.cache.medium to Ephemeral",
    ),
    "a node of old that lost its node agent": (
        without_mount(NOT_REGISTERED, begun_s=20, joined_s=86400),
        "NoNodeCache",
        "the CSI driver cache.serving.modelyard.dev is not running there.",
        "spec.cache.medium to Ephemeral",
    ),
    "a cluster without the node cache": (
        without_mount(NOT_REGISTERED, begun_s=30, anywhere=False),
        "NoNodeCache",
        "the CSI driver cache.serving.modelyard.dev is not running on any node",
        "Have modelyard-node deployed there",
    ),
    "a cluster whose node agents are not shown to the operator": (
        without_mount(NOT_REGISTERED, begun_s=150, anywhere=None),
        "NoNodeCache",
        "is not running there",
        "kubectl get pods -A -o wide -l app.kubernetes.io/component=node",
    ),
    "a node whose cache has no folder": (
        without_mount(NO_PATH, SUMMARY),
        "NoNodeCache",
        "has no model cache: node worker-1 has no folder /mnt/models: mount the disk there.",
        "",
    ),
    "a volume that the node agent refuses": (
        without_mount(
            'MountVolume.SetUp failed for volume "cache" : rpc error: code = InvalidArgument desc = the volume is '
            "served as an inline volume of a pod only"
        ),
        "VolumeMountFailed",
        "the volume is served as an inline volume of a pod only",
        "",
    ),
    "a volume that the kubelet only sums up": (
        without_mount(SUMMARY),
        "VolumeMountFailed",
        "unmounted volumes=[cache]",
        "",
    ),
    "another driver that is not there": (
        without_mount(NOT_REGISTERED.replace("cache.serving.modelyard.dev", "ebs.csi.aws.com")),
        "VolumeMountFailed",
        "driver name ebs.csi.aws.com not found",
        "",
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
    "an image that runs as root": (
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
        "401 Unauthorized. Create the missing pull secrets in namespace team-a: regcred.",
        "retries at least every 5 minutes",
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
