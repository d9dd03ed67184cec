"""Models from a volume, a web server and a hub, in a cluster that has no way out; the stand-in engine serves."""

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster.images import SPOT_WORKER
from e2e.images.standin.tiny_model import write_tiny_model
from e2e.support import web_server
from e2e.support.kubectl import Kubectl, Object, condition
from e2e.support.services import service
from tests.support.eventually import eventually

READY_S = 240


def _is_reported(kubectl: Kubectl, name: str, reason: str, *words: str) -> None:
    """Waits until the service is not ready for that reason (empty: for any), in words that hold these."""

    def reported() -> Object | None:
        ready = condition(kubectl.get("infsvc", name), "Ready")
        if ready is None or reason not in {"", ready["reason"]}:
            return None
        return ready if all(word in ready["message"] for word in words) else None

    assert eventually(reported, within_s=READY_S, every_s=1)["status"] == "False"


@dataclass(frozen=True)
class NodeFolder:
    """A folder on a node, filled and looked at by the node's administrator."""

    path: str
    node: str = SPOT_WORKER

    def run(self, *command: str) -> str:
        ended = subprocess.run(["docker", "exec", self.node, *command], check=True, capture_output=True, text=True)
        return ended.stdout

    def put(self, folder: Path, path: str) -> None:
        """A copy of ``folder`` at ``path`` in this one, there at once: a running fetcher looks at it."""
        arriving = f"{self.path}.arriving"
        subprocess.run(["docker", "cp", str(folder), f"{self.node}:{arriving}"], check=True, capture_output=True)
        self.run("mkdir", "-p", f"{self.path}/{Path(path).parent}")
        self.run("mv", arriving, f"{self.path}/{path}")


@pytest.fixture
def disk(cluster: Kubectl, namespace: Kubectl) -> Iterator[NodeFolder]:
    """A folder on a node as a PersistentVolume that is kept for the claim `models` of the namespace."""
    folder = NodeFolder(f"/var/local/{namespace.namespace}")
    folder.run("mkdir", "-p", folder.path)
    node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [folder.node]}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace.namespace},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "claimRef": {"name": "models", "namespace": namespace.namespace},
                "local": {"path": folder.path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
            },
        }
    )
    yield folder
    cluster.run("delete", "persistentvolume", namespace.namespace, "--wait=false")
    folder.run("rm", "-r", folder.path)


def test_a_model_on_a_volume_is_served_where_it_lies_once_all_that_hinders_it_is_gone(
    namespace: Kubectl, disk: NodeFolder, standin: Object, tmp_path: Path
) -> None:
    namespace.apply(service("mounted", engine=standin, model={"uri": "pvc://models/teams/tiny"}))
    _is_reported(namespace, "mounted", "", '"models" not found')

    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
            "volumeName": namespace.namespace,
        },
    }
    namespace.apply(claim)
    _is_reported(namespace, "mounted", "ModelNotFound", "claim 'models' does not contain 'teams'")

    model = write_tiny_model(tmp_path / "tiny")
    (model / "config.json").chmod(0o600)
    disk.put(model, "teams/tiny")
    _is_reported(namespace, "mounted", "AccessDenied", "'teams/tiny/config.json'", "user 65532")

    disk.run("chmod", "-R", "a+rX", f"{disk.path}/teams")
    namespace.wait("infsvc/mounted", "condition=Ready", READY_S)
    served = namespace.get("infsvc", "mounted")
    cached = condition(served, "ModelCached")
    assert cached is not None
    assert (cached["status"], cached["reason"]) == ("True", "Mounted")
    size_bytes = sum(file.stat().st_size for file in model.iterdir())
    assert served["status"]["model"] == {"sizeBytes": size_bytes, "source": "pvc://models/teams/tiny"}
    groups = disk.run("find", disk.path, "-printf", "%g\n").split()
    assert "65532" not in groups, "the volume was given to the pods' group"


def test_a_model_on_a_web_server_with_a_private_ca_is_served_and_held_to_its_sha256(
    namespace: Kubectl, standin: Object, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    uri = web_server.serve(namespace, model, tmp_path)
    sha256 = hashlib.sha256(web_server.manifest_of(model)).hexdigest()

    namespace.apply(service("downloaded", engine=standin, model={"uri": uri, "https": {"sha256": sha256}}))
    _is_reported(namespace, "downloaded", "CertificateNotTrusted", "spec.model.caBundle")

    trusting = {"uri": uri, "caBundle": {"configMapName": "ca"}}
    namespace.apply(service("downloaded", engine=standin, model={**trusting, "https": {"sha256": "0" * 64}}))
    _is_reported(namespace, "downloaded", "ChecksumMismatch", sha256)

    namespace.apply(service("downloaded", engine=standin, model={**trusting, "https": {"sha256": sha256}}))
    namespace.wait("infsvc/downloaded", "condition=Ready", READY_S)


def test_an_unreachable_hub_is_reported_with_what_can_be_done(namespace: Kubectl, standin: Object) -> None:
    namespace.apply(service("hub", engine=standin, model={"uri": "hf://HuggingFaceTB/SmolLM2-135M-Instruct@main"}))
    _is_reported(
        namespace, "hub", "EndpointUnreachable", "https://huggingface.co", "spec.model.hf.endpoint to a mirror", "s3://"
    )
