"""Parses what a pod requests of the driver. Pure: from a request of the kubelet to a volume, or to an error text for
the pod's event.

Any pod author can name the driver in a pod, with attributes of their choice. The kubelet overwrites those under its
own keys (`csi.storage.k8s.io/...`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelyard.node.host.targets import DNS_LABEL, RefusedError, Target, target_of

_PREFIX = "csi.storage.k8s.io/"
NAMESPACE = f"{_PREFIX}pod.namespace"
POD_UID = f"{_PREFIX}pod.uid"
POD_NAME = f"{_PREFIX}pod.name"
SERVICE_ACCOUNT = f"{_PREFIX}serviceAccount.name"
EPHEMERAL = f"{_PREFIX}ephemeral"
_KNOWN = frozenset({NAMESPACE, POD_UID, POD_NAME, SERVICE_ACCOUNT, EPHEMERAL})


@dataclass(frozen=True)
class Publication:
    """A volume to publish: a pod's view of its namespace's part of the cache."""

    target: Target
    namespace_name: str
    is_read_only: bool


def publication(
    target_path: str, context: Mapping[str, str], pods_folder: PurePosixPath, *, is_read_only: bool
) -> Publication:
    """Parses the requested volume. Raises RefusedError for a request that no pod's inline volume produces."""
    if unknown := sorted(set(context) - _KNOWN):
        raise RefusedError(f"the volume does not support the attribute {unknown[0]!r}: remove volumeAttributes")
    if context.get(EPHEMERAL) != "true":
        raise RefusedError("the driver supports only inline volumes of pods, not PersistentVolumes")
    if missing := sorted({NAMESPACE, POD_UID} - set(context)):
        raise RefusedError(f"the kubelet did not pass {missing[0]}: the CSIDriver object needs podInfoOnMount: true")
    target = target_of(target_path, pods_folder)
    if target.pod_uid != context[POD_UID]:
        raise RefusedError(f"the target path is of the pod {target.pod_uid}, not of {context[POD_UID]!r}")
    if not DNS_LABEL.fullmatch(context[NAMESPACE]):
        raise RefusedError(f"{context[NAMESPACE]!r} is not a namespace")
    return Publication(target, context[NAMESPACE], is_read_only)
