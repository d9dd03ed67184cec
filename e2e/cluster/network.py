"""The pod network of nodes that bring none, the cluster's DNS, and the rule that keeps it all inside the machine."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from e2e.cluster import debian, engine, kind_cluster
from e2e.cluster.steps import Making

COREFILE = Path(__file__).parent / "Corefile"
COREFILE_OBJECT = ("configmap", "coredns", "--namespace=kube-system")
COREFILE_QUERY = ("get", *COREFILE_OBJECT, "--output=jsonpath={.data.Corefile}")


def pod_network(pod_cidr: str) -> dict[str, object]:
    """The CNI configuration of one node: its pods get addresses of `pod_cidr`, without address translation."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "routes": [{"dst": "0.0.0.0/0"}],
        "ranges": [[{"subnet": pod_cidr}]],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def pod_routes(nodes: dict[str, tuple[str, str]], node: str) -> str:
    """Lines for `ip -batch`: from one node to the others' pods. `nodes` gives each node's address and pod CIDR."""
    lines = [f"route replace {cidr} via {address}\n" for name, (address, cidr) in sorted(nodes.items()) if name != node]
    return "".join(lines)


def is_connected(making: Making, *, local_node_image: bool) -> bool:
    """Whether all nodes are Ready, and the cluster is as closed as it must be."""
    nodes = _quiet(making, "get", "nodes", "--output=json")
    ready = nodes is not None and all(_is_ready(node) for node in json.loads(nodes)["items"])
    closed_to_names = not (local_node_image or is_hermetic()) or _quiet(making, *COREFILE_QUERY) == COREFILE.read_text()
    kept_inside = not is_hermetic() or _is_kept_inside()
    return ready and closed_to_names and kept_inside


def connect(making: Making, *, local_node_image: bool) -> None:
    """Set up DNS, the rule that keeps the cluster inside, and the pod network; wait until all is Ready."""
    kubectl = kind_cluster.kubectl(making)
    if local_node_image or is_hermetic():
        # Docker's DNS, seen from a pod of the local node image, would be CoreDNS itself: nothing may go to it.
        patch = json.dumps({"data": {"Corefile": COREFILE.read_text()}})
        making.commands.run(*kubectl, "patch", *COREFILE_OBJECT, "--type=merge", f"--patch={patch}")
    if is_hermetic():
        _keep_inside(making)
    if local_node_image:
        _connect_pods(making)
    making.commands.run(*kubectl, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s")
    making.commands.run(
        *kubectl, "--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=180s"
    )


def is_hermetic() -> bool:
    """Whether set-up may close the cluster's way out: a user's own engine and firewall are left alone."""
    return engine.started_by_us() or os.environ.get("CI") == "true"


def _connect_pods(making: Making) -> None:
    """Configure each node's CNI and routes. The nodes' own service pod-routes restores the routes at each boot."""
    listed = json.loads(making.commands.output(*kind_cluster.kubectl(making), "get", "nodes", "--output=json"))
    nodes = {item["metadata"]["name"]: (_address(item), item["spec"]["podCIDR"]) for item in listed["items"]}
    for name, (_, cidr) in nodes.items():
        _write(making, name, "/etc/pod-routes", pod_routes(nodes, name))
        making.commands.run("docker", "exec", name, "systemctl", "restart", "pod-routes.service")
        _write(making, name, "/etc/cni/net.d/10-pods.conflist", json.dumps(pod_network(cidr), indent=1))


def _is_ready(node: Any) -> bool:
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in node["status"]["conditions"])


def _quiet(making: Making, *arguments: str) -> str | None:
    """What kubectl prints, or None when it fails: the cluster may not answer yet."""
    command = [*kind_cluster.kubectl(making), "--request-timeout=5s", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout if ended.returncode == 0 else None


def _address(node: Any) -> str:
    return next(str(entry["address"]) for entry in node["status"]["addresses"] if entry["type"] == "InternalIP")


def _write(making: Making, node: str, path: str, text: str) -> None:
    making.commands.run("docker", "exec", "--interactive", node, "cp", "/dev/stdin", path, stdin=text.encode())


def _keep_inside(making: Making) -> None:
    """Drop what the cluster sends out of this machine. Image builds use another network and still reach out."""
    if not _is_kept_inside():
        making.commands.run(*_command("--insert", _rule()), environment=_environment())


def _is_kept_inside() -> bool:
    return bool(kind_cluster.network_id()) and _iptables("--check", _rule())


def let_out() -> None:
    """Remove the rule, if it is there."""
    if _is_kept_inside():
        _iptables("--delete", _rule())


def _rule() -> tuple[str, ...]:
    identity = kind_cluster.network_id()
    assert identity, "kind's network exists once a cluster was created"
    bridge = f"br-{identity[:12]}"
    return ("DOCKER-USER", "--in-interface", bridge, "!", "--out-interface", bridge, "--jump", "DROP")


def _iptables(action: str, rule: tuple[str, ...]) -> bool:
    return subprocess.run(_command(action, rule), check=False, capture_output=True, env=_environment()).returncode == 0


def _command(action: str, rule: tuple[str, ...]) -> list[str]:
    elevate = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    return [*elevate, "iptables", "--wait", action, *rule]


def _environment() -> dict[str, str]:
    root = engine.packages_root()
    return {**os.environ, **(debian.library_environment(root) if root else {})}
