"""Where a pod's volume is mounted on the node: paths of the kubelet, read strictly."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelyard.contract.digests import UID

DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_VOLUMES = "volumes/kubernetes.io~csi"


class RefusedError(Exception):
    """The driver does not serve this request; the text is for the pod's author."""


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


def target_of(path: str, pods_folder: PurePosixPath) -> Target:
    """The target that a path names. Raises RefusedError for a path of any other form, `..` in it included."""
    try:
        parts = PurePosixPath(path).relative_to(pods_folder).parts
    except ValueError:
        parts = ()
    if len(parts) != 5 or f"{parts[1]}/{parts[2]}" != _VOLUMES or parts[4] != "mount":
        raise RefusedError(f"the target path {path!r} is no volume of a pod below {pods_folder}")
    if not UID.fullmatch(parts[0]) or not DNS_LABEL.fullmatch(parts[3]):
        raise RefusedError(f"the target path {path!r} names no pod or no volume")
    return Target(parts[0], parts[3])
