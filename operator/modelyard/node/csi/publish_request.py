"""What a pod may ask of the driver. Pure: a request of the kubelet in, a volume out, or words for the pod's event.

Any pod author can name the driver in a pod, with attributes of their choice. What the kubelet adds about the pod
(`csi.storage.k8s.io/...`) it writes over theirs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_PREFIX = "csi.storage.k8s.io/"
NAMESPACE = f"{_PREFIX}pod.namespace"
POD_UID = f"{_PREFIX}pod.uid"
POD_NAME = f"{_PREFIX}pod.name"
SERVICE_ACCOUNT = f"{_PREFIX}serviceAccount.name"
EPHEMERAL = f"{_PREFIX}ephemeral"
_KNOWN = frozenset({NAMESPACE, POD_UID, POD_NAME, SERVICE_ACCOUNT, EPHEMERAL})

_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_UID = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9]{0,62})")
_VOLUMES = "volumes/kubernetes.io~csi"


class RefusedError(Exception):
    """The request is none that the driver serves; its text is for the pod's author."""


@dataclass(frozen=True)
class Target:
    """Where a volume appears: ``<pods folder>/<pod uid>/volumes/kubernetes.io~csi/<volume>/mount``."""

    pod_uid: str
    volume: str

    @property
    def folder(self) -> str:
        """The folder that the kubelet makes, seen from its pods folder."""
        return f"{self.pod_uid}/{_VOLUMES}/{self.volume}"

    @property
    def path(self) -> str:
        """The mount point that the driver makes in it."""
        return f"{self.folder}/mount"


@dataclass(frozen=True)
class Publication:
    """A volume to publish: a pod's view of its namespace's part of the cache."""

    target: Target
    namespace_name: str
    is_read_only: bool


def target_of(path: str, pods_folder: PurePosixPath) -> Target:
    """The target that a path names. Raises RefusedError for a path of any other form, `..` in it included."""
    try:
        parts = PurePosixPath(path).relative_to(pods_folder).parts
    except ValueError:
        parts = ()
    if len(parts) != 5 or f"{parts[1]}/{parts[2]}" != _VOLUMES or parts[4] != "mount":
        raise RefusedError(f"the target path {path!r} is no volume of a pod below {pods_folder}")
    if not _UID.fullmatch(parts[0]) or not _DNS_LABEL.fullmatch(parts[3]):
        raise RefusedError(f"the target path {path!r} names no pod or no volume")
    return Target(parts[0], parts[3])


def publication(
    target_path: str, context: Mapping[str, str], pods_folder: PurePosixPath, *, is_read_only: bool
) -> Publication:
    """The volume that a request asks for. Raises RefusedError for one that no pod's inline volume gives."""
    if unknown := sorted(set(context) - _KNOWN):
        raise RefusedError(f"the volume takes no attributes, and {unknown[0]!r} is one: remove volumeAttributes")
    if context.get(EPHEMERAL) != "true":
        raise RefusedError("the driver serves volumes written inline in a pod only, no PersistentVolumes")
    if missing := sorted({NAMESPACE, POD_UID} - set(context)):
        raise RefusedError(f"the kubelet did not tell {missing[0]}: the CSIDriver object needs podInfoOnMount: true")
    target = target_of(target_path, pods_folder)
    if target.pod_uid != context[POD_UID]:
        raise RefusedError(f"the target path is of the pod {target.pod_uid}, not of {context[POD_UID]!r}")
    if not _DNS_LABEL.fullmatch(context[NAMESPACE]):
        raise RefusedError(f"{context[NAMESPACE]!r} is no namespace")
    return Publication(target, context[NAMESPACE], is_read_only)
