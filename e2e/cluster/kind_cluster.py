"""The kind cluster `modelyard`: a control plane and two workers whose GPUs do not exist.

One worker is on demand and carries the usual GPU taint; the other is a spot instance without a taint. Each is in a
zone of its own and carries the labels of NVIDIA's GPU feature discovery.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from e2e.cluster import engine, images, node_image, tools
from e2e.cluster.host import Host
from e2e.cluster.images import CONTROL_PLANE, GPU_WORKER, SPOT_WORKER
from e2e.cluster.steps import CannotMakeError, Making, cache_folder, programs_folder

NAME = "modelyard"
NETWORK = "kind"
CONTEXT = f"kind-{NAME}"
NODES = (CONTROL_PLANE, GPU_WORKER, SPOT_WORKER)
STATE = cache_folder() / "cluster"
KUBECONFIG = STATE / "kubeconfig"
RECORD = STATE / "cluster.json"
# kind's release notes give the digests that belong to each release of kind.
PUBLISHED_NODE = "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"
GPU_LABELS = {
    "nvidia.com/gpu.present": "true",
    "nvidia.com/gpu.count": "4",
    "nvidia.com/gpu.product": "NVIDIA-A10G",
    "nvidia.com/gpu.memory": "23028",
    "nvidia.com/gpu.family": "ampere",
    "nvidia.com/gpu.compute.major": "8",
    "nvidia.com/gpu.compute.minor": "6",
    "node.kubernetes.io/instance-type": "g5.12xlarge",
}


def configuration(*, local_node_image: bool) -> dict[str, Any]:
    """The cluster as data. A local node image has no pod network of its own, and other etcd and DNS versions."""
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    nodes = [
        {"role": "control-plane"},
        _worker("a", "on-demand", [{"kind": "JoinConfiguration", "nodeRegistration": {"taints": [taint]}}]),
        _worker("b", "spot", []),
    ]
    base = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "name": NAME, "nodes": nodes}
    if not local_node_image:
        return base
    versions = {
        "kind": "ClusterConfiguration",
        "etcd": {"local": {"imageTag": node_image.ETCD_TAG}},
        "dns": {"imageTag": node_image.COREDNS_TAG},
    }
    # kube-proxy's mode stays iptables, as it is by default: in mode nftables, Linux 6.18 loses elements of its map of
    # Services while others come and go, and kube-proxy notices after an hour (seen several times).
    networking = {"disableDefaultCNI": True}
    return {**base, "networking": networking, "kubeadmConfigPatches": [json.dumps(versions)]}


def configuration_text(*, local_node_image: bool) -> str:
    """The file that kind reads (JSON is YAML)."""
    return json.dumps(configuration(local_node_image=local_node_image), indent=1)


def _worker(zone: str, capacity_type: str, patches: list[dict[str, Any]]) -> dict[str, Any]:
    labels = {**GPU_LABELS, "topology.kubernetes.io/zone": zone, "karpenter.sh/capacity-type": capacity_type}
    return {"role": "worker", "labels": labels, "kubeadmConfigPatches": [json.dumps(patch) for patch in patches]}


def is_made(making: Making) -> bool:
    """Whether the cluster was made from exactly this, and all its nodes run.

    Raises CannotMakeError for a running cluster made from something else: only its owner may decide to lose it.
    """
    recorded = _recorded_key()
    if recorded and recorded != making.key and _nodes("status=running"):
        raise CannotMakeError(
            f"The cluster {NAME} was made from another state of e2e/cluster. `make down` removes it; then try again."
        )
    return recorded == making.key and sorted(_nodes("status=running")) == sorted(NODES)


def pull_node(making: Making) -> None:
    """Pull the published node image."""
    making.commands.run("docker", "pull", PUBLISHED_NODE)
    making.commands.run("docker", "tag", PUBLISHED_NODE, images.tag("node", making))


def create(making: Making, *, local_node_image: bool) -> None:
    """Create the cluster. A worker that was stopped is started again; without a running control plane all is made anew,
    since nodes that start together may get each other's addresses.
    """
    if _recorded_key() == making.key and sorted(_nodes()) == sorted(NODES) and NODES[0] in _nodes("status=running"):
        making.commands.run("docker", "start", *NODES)
        return
    kind = tools.kind(making)
    making.commands.run(kind, "delete", "cluster", "--name", NAME)
    Host(engine.STATE).record()
    _write_atomically(RECORD, json.dumps({"key": "", "network_was_there": bool(network_id())}))
    config = making.folder / "kind.yaml"
    config.write_text(configuration_text(local_node_image=local_node_image))
    node = images.tag("node", making.results["node-image"])
    making.commands.run(kind, "create", "cluster", "--config", config, "--image", node, "--retain")
    # kind has the engine start its nodes again: after an engine that was killed they would run, with each other's
    # addresses, before the API server answers (seen in a run right after another was cut off).
    making.commands.run("docker", "update", "--restart=no", *NODES)
    _write_atomically(KUBECONFIG, making.commands.output(kind, "get", "kubeconfig", "--name", NAME))
    _write_atomically(RECORD, json.dumps(_read_record() | {"key": making.key}))


def kubectl(making: Making) -> tuple[str | Path, ...]:
    """`kubectl` with the cluster's own kubeconfig, for a step that needs the step `kubectl`."""
    return (making.results["kubectl"].folder / "kubectl", f"--kubeconfig={KUBECONFIG}")


def delete() -> None:
    """Delete the cluster, its entry in the user's kubeconfig, and kind's network where it was not there before."""
    kind = programs_folder() / "kind"
    if kind.exists() and engine.answers():
        subprocess.run([kind, "delete", "cluster", "--name", NAME], check=True)
        if not _read_record().get("network_was_there", True):
            subprocess.run(["docker", "network", "rm", NETWORK], check=False, capture_output=True)
    shutil.rmtree(STATE, ignore_errors=True)


def network_id() -> str:
    """The identity of kind's network in the engine; empty while there is none."""
    command = ["docker", "network", "inspect", NETWORK, "--format={{.Id}}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def node_image_in_use() -> str:
    """The image of the nodes that there are; empty when there are none."""
    command = ["docker", "inspect", NODES[0], "--format={{.Config.Image}}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _nodes(*filters: str) -> list[str]:
    """The names of the cluster's node containers."""
    conditions = [f"label=io.x-k8s.kind.cluster={NAME}", *filters]
    command = ["docker", "ps", "--all", "--format={{.Names}}", *(f"--filter={condition}" for condition in conditions)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


def _read_record() -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(RECORD.read_text())
    except (OSError, ValueError):
        return {}
    return record


def _recorded_key() -> str:
    return str(_read_record().get("key", ""))


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(path)
