"""What an agent has around it on a node, made small: a kubelet and its folders, and pods that request space."""

import contextlib
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from awscrt import checksums

from modelyard.contract import names
from modelyard.contract.cache_layout import CacheLayout
from modelyard.contract.entry_record import EntryRecord, FileRecord
from modelyard.node.agent import Agent
from modelyard.node.cache.sizes import SizeOrShare
from modelyard.node.configuration import Configuration
from modelyard.node.csi import publish_request
from modelyard.node.host import syscalls
from modelyard.node.host.api_server import Api, Object, UnreachableError
from modelyard.node.host.untrusted_files import opened_folder
from modelyard.node.proto import csi_pb2, csi_pb2_grpc
from tests.support.eventually import eventually
from tests.support.ports import free_port

NODE = "worker"
MIB = 1 << 20
DISK_BYTES = 64 * MIB
TIMEOUT_S = 30


def digest(letter: str) -> str:
    """A digest that differs from others in its hexadecimal digit."""
    return f"sha256:{letter * 64}"


def small_disk(folder: Path) -> None:
    """Mounts a file system of DISK_BYTES on the folder, with propagation as the kubelet's folder has it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], check=True)
    subprocess.run(["mount", "--make-shared", folder], check=True)


@dataclass
class FakeApi(Api):
    """The API server's answers: namespaces by name, the node, its pods; none at all while it is away."""

    namespaces: dict[str, str] = field(default_factory=dict)
    pods: list[Object] = field(default_factory=list)
    taints: list[Object] = field(default_factory=list)
    is_away: bool = False

    def get(self, path: str) -> Object | None:
        if self.is_away:
            raise UnreachableError("away")
        if path == f"/api/v1/nodes/{NODE}":
            return {"spec": {"taints": self.taints}}
        uid = self.namespaces.get(path.removeprefix("/api/v1/namespaces/"))
        return None if uid is None else {"metadata": {"uid": uid}}

    def list_metadata(self, path: str, **query: str) -> list[Object]:
        if self.is_away:
            raise UnreachableError("away")
        assert (path, query) == ("/api/v1/pods", {"fieldSelector": f"spec.nodeName={NODE}"})
        return self.pods

    def patch(self, path: str, operations: list[Object]) -> bool:
        assert path == f"/api/v1/nodes/{NODE}"
        test, change = operations
        if test != {"op": "test", "path": "/spec/taints", "value": self.taints}:
            return False
        assert (change["op"], change["path"]) == ("replace", "/spec/taints")
        self.taints = change["value"]
        return True


class Pod:
    """A pod of a namespace, as the kubelet and the pod's own containers see it."""

    def __init__(self, pods_folder: Path, namespace: str) -> None:
        self.uid = str(uuid.uuid4())
        self.namespace = namespace
        self.volume_folder = pods_folder / self.uid / "volumes/kubernetes.io~csi/cache"
        self.volume_folder.mkdir(parents=True)

    @property
    def mount(self) -> Path:
        """Where its volume is."""
        return self.volume_folder / "mount"

    @property
    def layout(self) -> CacheLayout:
        """The cache as its containers see it."""
        return CacheLayout(self.mount)

    def context(self) -> dict[str, str]:
        """What the kubelet passes to the driver for it."""
        return {
            publish_request.NAMESPACE: self.namespace,
            publish_request.POD_UID: self.uid,
            publish_request.POD_NAME: "any",
            publish_request.SERVICE_ACCOUNT: "default",
            publish_request.EPHEMERAL: "true",
        }

    def request(self, **changed: Any) -> csi_pb2.NodePublishVolumeRequest:
        """The kubelet's call for its volume."""
        fields: dict[str, Any] = {
            "volume_id": "csi-1",
            "target_path": str(self.mount),
            "volume_capability": csi_pb2.VolumeCapability(mount=csi_pb2.VolumeCapability.MountVolume()),
            "volume_context": self.context(),
        }
        return csi_pb2.NodePublishVolumeRequest(**fields | changed)

    def writes_entry(self, digest: str, size_bytes: int, *, used_s: float | None = None) -> Path:
        """Puts a whole model there, as a fetcher does."""
        entry = self.layout.entry(digest)
        entry.mkdir()
        weights = os.urandom(size_bytes)
        (entry / "weights").write_bytes(weights)
        published_ns = (entry / "weights").stat().st_mtime_ns
        file = FileRecord("weights", size_bytes, published_ns, f"{checksums.crc64nvme(weights):016x}")
        record = EntryRecord("s3://models/a", datetime.now(UTC), digest, (file,))
        self.layout.record(digest).write_text(record.as_json())
        if used_s is not None:
            os.utime(entry, (used_s, used_s))
        return entry

    def links(self, digest: str) -> None:
        """Links the model, as a fetcher does at its end."""
        self.layout.link(self.uid).symlink_to(self.layout.link_target(digest))


class Line:
    """A connection to the agent's socket in a pod's volume."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT_S)
        try:
            with opened_folder(str(path.parent)) as folder:  # a socket's path has 107 characters at most
                self._socket.connect(f"/proc/self/fd/{folder}/{path.name}")
        except BaseException:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def send(self, **fields: Any) -> Any:
        """One request, and its answer."""
        return self.send_line(json.dumps(fields).encode() + b"\n")

    def send_line(self, line: bytes) -> Any:
        """Any bytes, and what comes back; None where the agent hangs up."""
        self._socket.sendall(line)
        answer = self._file.readline()
        return json.loads(answer) if answer else None

    def space(self, digest: str, size_bytes: int) -> Any:
        """Requests space."""
        return self.send(ask="space", pod="any", digest=digest, bytes=size_bytes)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Surroundings:
    """A node. ``host`` has the kubelet's folder and the cache."""

    def __init__(self, host: Path) -> None:
        self.kubelet = host / "kubelet"
        self.cache = host / "cache"
        (self.kubelet / "pods").mkdir(parents=True)
        self.cache.mkdir()
        self.api = FakeApi({"team-a": str(uuid.uuid4()), "team-b": str(uuid.uuid4())})
        self._agents: list[Agent] = []
        self._lines: list[Line] = []
        self.channels: list[grpc.Channel] = []
        self.port = free_port()

    def configuration(self, **changed: Any) -> Configuration:
        """An agent's, with a budget of 40 MiB of the disk's 64, a reserve of 8 and a guaranteed share of 10."""
        values: dict[str, Any] = {
            "node": NODE,
            "cache": self.cache,
            "api_server": "https://localhost",
            "budget": SizeOrShare.parse("40Mi"),
            "reserve": SizeOrShare.parse("8Mi"),
            "guaranteed_share": SizeOrShare.parse("10Mi"),
            "kubelet_folder": self.kubelet,
            "port": self.port,
        }
        return Configuration(**values | changed)

    def started(self, **changed: Any) -> Agent:
        """An agent that runs."""
        agent = Agent(self.configuration(**changed), self.api)
        agent.start()
        self._agents.append(agent)
        return agent

    def stop(self) -> None:
        """Ends what was started."""
        for line in self._lines:
            line.close()
        for channel in self.channels:
            channel.close()
        for agent in self._agents:
            agent.stop()
        self._lines, self.channels, self._agents = [], [], []

    @property
    def driver(self) -> csi_pb2_grpc.NodeStub:
        """The driver as the kubelet calls it."""
        channel = grpc.insecure_channel(f"unix://{self.kubelet}/plugins/{names.CSI_DRIVER}/csi.sock")
        self.channels.append(channel)
        return csi_pb2_grpc.NodeStub(channel)

    def pod(self, namespace: str = "team-a") -> Pod:
        """A pod that the API server knows, without its volume yet."""
        pod = Pod(self.kubelet / "pods", namespace)
        self.api.pods.append({"uid": pod.uid})
        return pod

    def published(self, namespace: str = "team-a", **changed: Any) -> Pod:
        """A pod that has its volume."""
        pod = self.pod(namespace)
        self.driver.NodePublishVolume(pod.request(**changed), timeout=TIMEOUT_S)
        return pod

    def unpublish(self, pod: Pod) -> None:
        """The kubelet takes a pod's volume away."""
        request = csi_pb2.NodeUnpublishVolumeRequest(volume_id="csi-1", target_path=str(pod.mount))
        self.driver.NodeUnpublishVolume(request, timeout=TIMEOUT_S)

    def line(self, pod: Pod) -> Line:
        """A connection of the pod to the agent, as soon as it listens."""

        def connected() -> Line | None:
            with contextlib.suppress(ConnectionRefusedError):
                return Line(pod.layout.agent_socket)
            return None

        line = eventually(connected)
        self._lines.append(line)
        return line

    def fetches(self, pod: Pod, digest: str, size_bytes: int, *, used_s: float | None = None) -> Path:
        """The pod requests space for a model, brings it, and is done."""
        line = self.line(pod)
        assert line.space(digest, size_bytes) == {"granted": True}
        entry = pod.writes_entry(digest, size_bytes, used_s=used_s)
        line.close()
        return entry

    @contextlib.contextmanager
    def bind_mounted(self, source: Path, target: Path) -> Iterator[None]:
        """What the kubelet does for a container that mounts a folder of a volume (subPath)."""
        with opened_folder(str(source)) as seen, opened_folder(str(target)) as point:
            syscalls.bind_mount(seen, point, 0)
        try:
            yield
        finally:
            syscalls.unmount(str(target))

    @property
    def agent(self) -> Agent:
        """The agent that was started last."""
        return self._agents[-1]

    def part(self, namespace: str = "team-a") -> CacheLayout:
        """The namespace's part, as the host sees it."""
        return CacheLayout(self.cache / self.api.namespaces[namespace])
