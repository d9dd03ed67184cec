"""What the kubelet says of a container that it cannot create: images, volumes, configuration."""

import re
from collections.abc import Mapping

from modelyard.api.conditions import Explanation, Reason, Reasons, sentence
from modelyard.observe.pods import ContainerFacts, PodFacts

_IMAGE = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_CONFIGURATION = frozenset({"CreateContainerConfigError"})
_START = frozenset({"CreateContainerError", "RunContainerError", "PreCreateHookError", "PostStartHookError"})

_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(: )?')
_ERROR_NAME = re.compile(r"^[A-Z]\w+: ")

_WHY_NOT_PULLED: tuple[tuple[str, str], ...] = (
    (r"toomanyrequests|too many requests|\b429\b", "The registry limits pulls: wait, authenticate, or use a mirror."),
    (
        r"unauthorized|denied|authentication required|\b40[13]\b|no basic auth",
        "The registry refuses: check the image's name, and give the pods' service account a pull secret for it.",
    ),
    (r"x509|certificate", "The node does not trust the registry's certificate: have its CA installed on the nodes."),
    (r"no match for platform", "The image has no build for the node's architecture: use another image or node."),
    (
        r"no such host|connection refused|i/o timeout|dial tcp|TLS handshake|deadline exceeded|network is unreachable",
        "The node cannot reach the registry: check its name, DNS, proxy and firewall, or use a mirror.",
    ),
    (r"not found|manifest unknown|does not exist", "Correct the image's name or tag (spec.engine.image, version)."),
    (r"[Ii]nvalid|parse", "Correct the image's name (spec.engine.image)."),
    (r"is not present with pull policy", "Load the image on the node, or let it be pulled."),
    (r"no space left|disk", "The node's disk is full: free space on it, or use nodes with larger disks."),
)

_EVENTS: Mapping[str, Reason | None] = {
    "FailedMount": Reasons.VOLUME_MOUNT_FAILED,
    "FailedAttachVolume": Reasons.VOLUME_MOUNT_FAILED,
    "FailedMapVolume": Reasons.VOLUME_MOUNT_FAILED,
    "FailedCreatePodSandBox": Reasons.SANDBOX_FAILED,
    "FailedCreatePodContainer": Reasons.SANDBOX_FAILED,
    "SuccessfulAttachVolume": None,
    "Pulling": None,
    "Pulled": None,
    "Created": None,
    "Started": None,
}
"""What the newest of these Events means: a failure, or (None) that the pod got past it."""


def not_created(
    name: str, container: ContainerFacts, pod: PodFacts, held: Mapping[str, Explanation]
) -> Explanation | None:
    """Why container ``name`` of ``pod`` cannot be created; None while nothing speaks against it.

    ``held`` has what was said before, by reason: during back-off an older kubelet gives no cause.
    """
    waiting, message = container.waiting, container.waiting_message
    if waiting in _IMAGE:
        return _not_pulled(container, pod, held)
    if waiting in _CONFIGURATION:
        return Reasons.CONTAINER_CONFIG_INVALID.explain(container=name, cause=sentence(message))
    if waiting in _START:
        return Reasons.CONTAINER_START_FAILED.explain(container=name, cause=sentence(message))
    return None


def _not_pulled(container: ContainerFacts, pod: PodFacts, held: Mapping[str, Explanation]) -> Explanation:
    """The kubelet alternates between the failure and the back-off from it, which before Kubernetes 1.32 had no cause
    (kubernetes pull request 127918): the Event has it then.
    """
    cause = _ERROR_NAME.sub("", _BACK_OFF.sub("", container.waiting_message))
    if not cause:
        failed = (e.message for e in reversed(pod.events) if e.reason == "Failed" and "pull" in e.message)
        cause = next(failed, "")
        if not cause and Reasons.IMAGE_PULL_FAILED.name in held:
            return held[Reasons.IMAGE_PULL_FAILED.name]
    why = next(
        (w for pattern, w in _WHY_NOT_PULLED if re.search(pattern, cause)), "Check the image's name and registry."
    )
    return Reasons.IMAGE_PULL_FAILED.explain(
        image=container.image or "of the container", cause=sentence(cause), why=why
    )


def from_events(pod: PodFacts) -> Explanation | None:
    """Why ``pod`` is still being prepared, from the newest of its Events that tells."""
    telling = [e for e in pod.events if e.reason in _EVENTS]
    if not telling or not (reason := _EVENTS[telling[-1].reason]):
        return None
    return reason.explain(cause=sentence(telling[-1].message), node=pod.node or "?")
