"""Containers that the kubelet cannot create: images, volumes, configuration."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from modelyard.api.conditions import Explanation, Reason, explanation_of, sentence, timestamp
from modelyard.api.reasons import Reasons
from modelyard.contract.untrusted import bounded
from modelyard.observe.facts.pods import ContainerFacts, PodEvent, PodFacts
from modelyard.observe.reasons.engine_errors import classify

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
    (
        r"toomanyrequests|too many requests|\b429\b",
        "The registry limits pulls: wait, authenticate, or use a mirror.",
    ),
    (
        r"unauthorized|denied|authentication required|\b40[13]\b|no basic auth",
        "The registry denied access: check the image's name, and add a pull secret to the pods' service account.",
    ),
    (r"x509|certificate", "The node does not trust the registry's certificate: install its CA on the nodes."),
    (r"no match for platform", "The image has no build for the node's architecture: use another image or node."),
    (
        r"no such host|connection refused|i/o timeout|dial tcp|TLS handshake|deadline exceeded|network is unreachable",
        "The node cannot reach the registry: check its name, DNS, proxy and firewall, or use a mirror.",
    ),
    (r"not found|manifest unknown|does not exist", "Correct the image's name or tag ({field})."),
    (r"[Ii]nvalid|parse", "Correct the image's name ({field})."),
    (r"is not present with pull policy", "Load the image onto the node, or allow it to be pulled."),
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

_SUMMARY = "Unable to attach or mount volumes"

_MISSING: tuple[tuple[Reason, str], ...] = (
    (Reasons.SECRET_MISSING, r'secret "[^"]*" not found'),
    (Reasons.CONFIG_MAP_MISSING, r'configmap "[^"]*" not found'),
    (Reasons.KEY_MISSING, r"couldn't find key|references non-existent (secret|config) key"),
    (Reasons.VOLUME_CLAIM_MISSING, r'persistentvolumeclaims? "[^"]*" not found'),
)
"""Missing objects that an environment variable or a mounted volume names; the kubelet's texts for both."""

_PULL_SECRET = re.compile(r"Unable to retrieve some image pull secrets \(([^)]*)\)")
_CRASH_BACK_OFF = re.compile(r"back-off (?:(\d{1,2})m)?(\d{1,2})s restarting")


def next_try(container: ContainerFacts) -> datetime | None:
    """When the kubelet restarts a container in its back-off; None for one that is not in back-off.

    Its message has the wait, which counts from the container's end (10 s, doubled with each end, at most 5 minutes:
    Kubernetes' page "Pod Lifecycle").
    """
    wait = _CRASH_BACK_OFF.search(container.waiting_message)
    if container.waiting != "CrashLoopBackOff" or not wait or not (container.last and container.last.finished):
        return None
    return container.last.finished + timedelta(minutes=int(wait[1] or 0), seconds=int(wait[2]))


def with_next_try(found: Explanation, container: ContainerFacts) -> Explanation:
    """``found``, with the time of the kubelet's next attempt where that is known."""
    moment = next_try(container)
    if moment is None:
        return found
    return explanation_of(
        found.reason, f"{found.message} The kubelet restarts it at about {timestamp(moment)}.", found.kind
    )


def not_created(
    container: ContainerFacts, pod: PodFacts, namespace: str, held: Mapping[str, Explanation]
) -> Explanation | None:
    """Why ``container`` of ``pod`` cannot be created; None while no problem is known.

    ``held`` has the earlier explanations, by reason: during back-off an older kubelet gives no cause.
    """
    waiting, message = container.waiting, container.waiting_message
    if waiting in _IMAGE:
        return _not_pulled(container, pod, namespace, held)
    if waiting in _CONFIGURATION:
        missing = _missing(message)
        cause = sentence(f"container {container.name}: {message}" if missing and not container.is_ours else message)
        reason = missing or Reasons.CONTAINER_CONFIG_INVALID
        return reason.explain(container=container.name, cause=cause, namespace=namespace)
    if waiting in _START:
        return _not_started(container, pod, namespace)
    return None


def _not_started(container: ContainerFacts, pod: PodFacts, namespace: str) -> Explanation:
    message = container.waiting_message
    reason = Reasons.CONTAINER_START_FAILED
    if not container.is_ours:
        reason = Reasons.CONTAINER_FAILED
    elif classify(message)[0] is Reasons.OUT_OF_MEMORY:
        reason = Reasons.OUT_OF_MEMORY
    return reason.explain(
        container=container.name,
        how="cannot start",
        cause=sentence(message),
        restarts=container.restarts,
        namespace=namespace,
        pod=pod.name,
    )


def _missing(message: str) -> Reason | None:
    return next((reason for reason, pattern in _MISSING if re.search(pattern, message)), None)


def _not_pulled(
    container: ContainerFacts, pod: PodFacts, namespace: str, held: Mapping[str, Explanation]
) -> Explanation:
    """The kubelet alternates between the failure and the back-off from it, which before Kubernetes 1.32 had no cause
    (kubernetes pull request 127918): the Event has it then.
    """
    cause = _ERROR_NAME.sub("", _BACK_OFF.sub("", container.waiting_message))
    if not cause:
        of_it = (e for e in reversed(pod.events) if e.container in {"", container.name})
        failed = (e.message for e in of_it if e.reason == "Failed" and "pull" in e.message)
        cause = next(failed, "")
        if not cause and Reasons.IMAGE_PULL_FAILED.name in held:
            return held[Reasons.IMAGE_PULL_FAILED.name]
    why = next(
        (w for pattern, w in _WHY_NOT_PULLED if re.search(pattern, cause)), "Check the image's name and registry."
    )
    secrets = next((found[1] for e in pod.events if (found := _PULL_SECRET.search(e.message))), "")
    if secrets:
        why = f"Create the missing pull secrets in namespace {namespace}: {bounded(secrets, 300)}."
    field = "spec.engine.image, version" if container.is_ours else "spec.podTemplate, or what injects the container"
    image = container.image or "of the container"
    if not container.is_ours:
        image = f"{image} of container {container.name}"
    return Reasons.IMAGE_PULL_FAILED.explain(image=image, cause=sentence(cause), why=why.replace("{field}", field))


def from_events(pod: PodFacts, namespace: str) -> Explanation | None:
    """Why ``pod`` is still being prepared, from the newest relevant one of its Events."""
    last = newest(pod)
    if last is None or not (reason := _EVENTS[last.reason]):
        return None
    reason = _missing(last.message) or reason
    return reason.explain(cause=sentence(last.message), node=pod.node or "?", container="", namespace=namespace)


def preparing_step(pod: PodFacts) -> str:
    """The current step of preparing ``pod``, according to its Events."""
    last = newest(pod)
    if last is None:
        return "pulling images and mounting volumes"
    if last.reason == "Pulling":
        return bounded(last.message[:1].lower() + last.message[1:], 300)
    return "volumes are attached" if last.reason == "SuccessfulAttachVolume" else "creating containers"


def newest(pod: PodFacts) -> PodEvent | None:
    """The newest Event of ``pod`` about its preparation.

    What sums up a failure ("Unable to attach or mount volumes ... deadline exceeded") counts only where nothing else is
    there: the kubelet adds it every two minutes, and it has no cause.
    """
    specific = [event for event in reversed(pod.events) if event.reason in _EVENTS]
    return next(
        (event for event in specific if not event.message.startswith(_SUMMARY)), specific[0] if specific else None
    )
