"""The node cache of the local cluster: its agents, what each node holds, and what a pod's fetch came to."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from e2e.cluster.operator_installation import AGENTS, CACHE_PATH, NAMESPACE
from e2e.support.kubectl import Kubectl, Object
from e2e.support.on_nodes import folders_of, get_on, kill_container
from modelyard.contract import names
from tests.support.eventually import eventually

SELECTOR = f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_NODE}"
READY_S = 120


class NodeCache:
    """The agents' DaemonSet, and the cache of each node as its agent reports it and as it lies on the disk."""

    def __init__(self, cluster: Kubectl) -> None:
        self._kubectl = replace(cluster, namespace=NAMESPACE)

    def agent(self, node: str) -> Object:
        """The node's agent; waits until it is ready."""
        return eventually(lambda: self._ready_agent(node), within_s=READY_S, every_s=0.5)

    def _ready_agent(self, node: str) -> Object | None:
        for pod in self._kubectl.list("pods", SELECTOR):
            conditions = pod["status"].get("conditions", [])
            is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            if pod["spec"]["nodeName"] == node and is_ready and "deletionTimestamp" not in pod["metadata"]:
                return pod
        return None

    def report(self, node: str) -> Object:
        """What the agent answers to GET /cache: sent from its node, since the network keeps others out."""
        address = self.agent(node)["status"]["podIP"]
        report: Object = json.loads(get_on(node, f"http://{address}:{names.NODE_PORT}/cache"))
        return report

    def entries(self, node: str, namespace: str) -> dict[str, Object]:
        """What the agent reports of a namespace's entries, by digest."""
        parts = [part for part in self.report(node)["namespaces"] if part["name"] == namespace]
        return {entry["digest"]: entry for part in parts for entry in part["entries"]}

    def folders(self, node: str) -> Sequence[str]:
        """The UIDs of the namespaces that have a part of the node's cache, as they lie on its disk."""
        return folders_of(node, CACHE_PATH)

    def kill(self, node: str) -> None:
        """End the agent's process without a chance to shut down; the kubelet starts it again."""
        kill_container(node, self.agent(node)["status"]["containerStatuses"][0]["containerID"])

    def is_started_anew(self, node: str, before: Object) -> bool:
        """Whether the agent is ready, and not with the process that ``before`` was."""
        now = self._ready_agent(node)
        return now is not None and _process(now) != _process(before)

    def roll_out_anew(self) -> None:
        """Another pod of the same agent on every node, as an upgrade brings it."""
        self._kubectl.run("rollout", "restart", AGENTS)
        self.is_rolled_out()

    def is_rolled_out(self) -> None:
        """Wait until every node that shall have an agent has the newest."""
        self._kubectl.run("rollout", "status", AGENTS, f"--timeout={READY_S}s", timeout_s=READY_S + 30)

    def log(self, node: str) -> str:
        """What the node's agent logs."""
        return self._kubectl.run("logs", self.agent(node)["metadata"]["name"])

    def refused_calls(self) -> list[str]:
        """Lines of the agents' logs that report a call for which they lack the right."""
        running = [pod for pod in self._kubectl.list("pods", SELECTOR) if pod["status"]["phase"] == "Running"]
        logs = (self._kubectl.run("logs", pod["metadata"]["name"]) for pod in running)
        return [line for log in logs for line in log.splitlines() if re.search(r"cannot \w+ resource", line)]

    @contextmanager
    def changed(self, **environment: str) -> Iterator[None]:
        """Agents with variables of their own that go before those of the ConfigMap; taken back afterwards."""
        self._set_environment(*(f"{name}={value}" for name, value in environment.items()))
        try:
            yield
        finally:
            self._set_environment(*(f"{name}-" for name in environment))

    def _set_environment(self, *variables: str) -> None:
        self._kubectl.run("set", "env", AGENTS, *variables)
        self.is_rolled_out()

    @contextmanager
    def absent_from(self, node: str) -> Iterator[None]:
        """No agent on the node, and none that the kubelet knows; afterwards there is one again."""
        label = f"{names.GROUP}/without-agent"
        requirement = {"key": label, "operator": "DoesNotExist"}
        terms = {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [requirement]}]
            }
        }
        self._affinity({"nodeAffinity": terms})
        self._kubectl.run("label", f"node/{node}", f"{label}=")
        try:
            eventually(lambda: not self.is_registered(node), within_s=READY_S, every_s=0.5)
            yield
        finally:
            self._kubectl.run("label", f"node/{node}", f"{label}-")
            self._affinity(None)
            self.is_rolled_out()
            eventually(lambda: self.is_registered(node), within_s=READY_S, every_s=0.5)

    def _affinity(self, affinity: Object | None) -> None:
        patch = {"spec": {"template": {"spec": {"affinity": affinity}}}}
        self._kubectl.run("patch", AGENTS, "--type=merge", f"--patch={json.dumps(patch)}")
        self.is_rolled_out()

    def is_registered(self, node: str) -> bool:
        """Whether the node's kubelet knows the driver."""
        drivers = self._kubectl.get("csinode", node)["spec"].get("drivers") or []
        return names.CSI_DRIVER in {driver["name"] for driver in drivers}


def _process(pod: Object) -> str:
    return str(pod["status"]["containerStatuses"][0]["containerID"])


def fetch_of(pod: Object) -> Object | None:
    """The pod's fetcher's last report; None before its end."""
    for status in pod["status"].get("initContainerStatuses", []):
        ended = status.get("state", {}).get("terminated")
        if status["name"] == names.CONTAINER_FETCH and ended:
            report: Object = json.loads(ended["message"])
            return report
    return None
