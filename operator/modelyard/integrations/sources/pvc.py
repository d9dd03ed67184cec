"""Models on a volume of the namespace: ``pvc://claim/folder``. Nothing is copied: the engine's mount is the claim."""

import re
from dataclasses import dataclass
from typing import Self

from modelyard.api.inference_service import Model
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.integrations.pod_parts import PodParts, SourceParts
from modelyard.integrations.sources import base

CLAIM = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""A DNS-1123 subdomain, as Kubernetes requires of a claim's name."""

LONGEST_NAME = 253


@dataclass(frozen=True)
class ClaimFolder:
    """A PersistentVolumeClaim and a folder on its volume; the folder is empty for the whole volume."""

    claim: str
    folder: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Reads ``pvc://claim/folder``; a slash at the end means nothing. Raises InvalidError (InvalidSpec)."""
        claim, _, path = uri.removeprefix("pvc://").partition("/")
        if not CLAIM.fullmatch(claim) or len(claim) > LONGEST_NAME:
            raise base.invalid_uri(
                uri,
                f"{claim!r} is not a valid PersistentVolumeClaim name: use lower-case letters, digits, '-' and '.', "
                "starting and ending with a letter or digit",
            )
        folder = base.path_in(uri, path)
        return cls(claim, folder)


class ClaimSource:
    """Renders the claim as a volume: whole for the fetcher, which inspects it, and the folder for the engine."""

    scheme = "pvc"

    def parts(self, model: Model) -> SourceParts:
        """See sources/base.py.

        ``readOnly`` on the volume itself, beside that of the mounts, keeps the kubelet from giving every file on it to
        the pod's fsGroup, which takes hours on a large volume and changes what belongs to others (Kubernetes 1.34,
        pkg/volume/csi/csi_mounter.go and pkg/volume/local/local.go: no ownership is set where a volume is read-only).
        """
        location = ClaimFolder.parse(model.uri)
        volume: Object = {
            "name": names.VOLUME_CLAIM,
            "persistentVolumeClaim": {"claimName": location.claim, "readOnly": True},
        }
        look: Object = {"name": names.VOLUME_CLAIM, "mountPath": names.PATH_CLAIM, "readOnly": True}
        sub_path = {"subPath": location.folder} if location.folder else {}
        return SourceParts(PodParts(volumes=(volume,), mounts=(look,)), {"name": names.VOLUME_CLAIM, **sub_path})
