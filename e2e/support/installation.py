"""The operator as it is installed in the local cluster: killing it, replacing it, setting it up differently."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.images import load, reference
from e2e.support.kubectl import Kubectl, Object
from tests.support.eventually import eventually

NAMESPACE = "modelyard-system"
DEPLOYMENT = "deployment/modelyard"
LEADER_LEASE = "modelyard"
SELECTOR = "app.kubernetes.io/name=modelyard,app.kubernetes.io/component=operator"
READY_S = 120


class Installation:
    """The operator's Deployment, its settings, the pod that leads and its log."""

    def __init__(self, cluster: Kubectl) -> None:
        self._kubectl = replace(cluster, namespace=NAMESPACE)

    def pod(self) -> str:
        """Name of the pod that leads, by its Lease; waits until it is there and ready."""
        return eventually(self._leading_pod, within_s=READY_S, every_s=0.5)

    def _leading_pod(self) -> str | None:
        holder = self.holder()
        pods = [p for p in self._kubectl.list("pods", SELECTOR) if "deletionTimestamp" not in p["metadata"]]
        leading = [pod for pod in pods if holder.startswith(f"{pod['metadata']['name']}_")]
        if len(leading) != 1:
            return None
        conditions = leading[0]["status"].get("conditions", [])
        is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return str(leading[0]["metadata"]["name"]) if is_ready else None

    def holder(self) -> str:
        """Which process holds the Lease; empty where none does."""
        if not self._kubectl.exists("lease", LEADER_LEASE):
            return ""
        return str(self._kubectl.get("lease", LEADER_LEASE)["spec"].get("holderIdentity", ""))

    def led(self) -> tuple[datetime, datetime]:
        """Since when, and until when, the process that has the Lease is known to have it, by its own clock."""
        spec = self._kubectl.get("lease", LEADER_LEASE)["spec"]
        return datetime.fromisoformat(spec["acquireTime"]), datetime.fromisoformat(spec["renewTime"])

    def kill(self) -> str:
        """End the leader's process without a chance to shut down; the kubelet starts it again. Returns its pod."""
        name = self.pod()
        pod = self._kubectl.get("pod", name)
        container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
        all_of_them = '$(pgrep -f "modelyard --settings")'
        its_own = f"for p in {all_of_them}; do grep -q {container} /proc/$p/cgroup && echo $p; done"
        killing = ("sh", "-c", f"kill -KILL $({its_own})")
        subprocess.run(["docker", "exec", pod["spec"]["nodeName"], *killing], check=True, capture_output=True)
        return name

    def restarts(self, pod: str) -> int:
        """How often the process of a pod was started again."""
        return int(self._kubectl.get("pod", pod)["status"]["containerStatuses"][0]["restartCount"])

    def restart(self) -> None:
        """A new pod of the same operator."""
        self._kubectl.run("rollout", "restart", DEPLOYMENT)
        self._rolled_out()

    def log(self) -> str:
        """The leader's whole log."""
        return self._kubectl.run("logs", self.pod())

    def refused_calls(self) -> list[str]:
        """Lines of the present pods' logs that report a call for which the operator lacks the right.

        Its metrics would not do: an admission check, or a namespace that is being deleted, is a 403 as well.
        """
        lines = self._kubectl.run("logs", f"--selector={SELECTOR}", "--tail=-1").splitlines()
        return [line for line in lines if re.search(r"cannot \w+ resource", line)]

    def is_idle(self) -> bool:
        """Whether the leader has looked at every service and has nothing left to do, by its own metrics."""
        text = self._kubectl.raw(f"/api/v1/namespaces/{NAMESPACE}/pods/{self.pod()}:8080/proxy/metrics")
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        services = sum(
            float(value) for name, value in values.items() if name.startswith('modelyard_services{condition="Ready"')
        )
        looked_at = float(values["modelyard_reconcile_seconds_count"])
        return looked_at >= services and float(values["modelyard_queue_oldest_seconds"]) == 0

    def other_image(self) -> str:
        """An operator image that differs from the installed one in its content, on the nodes."""
        name = f"{reference('operator')}-other"
        text = f'FROM {reference("operator")}\nLABEL serving.modelyard.dev/test="another image"\n'
        subprocess.run(["docker", "build", "-q", "-t", name, "-"], input=text.encode(), check=True, capture_output=True)
        load(name)
        return name

    def image_with_engine(self, file: Path, line: str) -> str:
        """The installed operator's image with one more engine: its file, and its line in the registry; on the nodes."""
        name = f"{reference('operator')}-{file.stem.replace('_', '-')}"
        find = "import modelyard.integrations.engines; print(modelyard.integrations.engines.__path__[0])"
        text = f"""
            FROM {reference("operator")}
            USER 0:0
            COPY {file.name} /
            RUN cd "$(/opt/modelyard/bin/python -c '{find}')" && mv /{file.name} . && echo '{line}' >> __init__.py
            USER 65532:65532
        """
        command = ["docker", "build", "-q", "-t", name, "-f", "-", str(file.parent)]
        subprocess.run(command, input=text.encode(), check=True, capture_output=True)
        load(name)
        return name

    @contextmanager
    def changed(self, *, image: str, settings: dict[str, Any]) -> Iterator[None]:
        """The operator with another image and other settings; put back afterwards."""
        before = self._kubectl.get("deployment", "modelyard")
        volume = before["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
        present = yaml.safe_load(self._kubectl.get("configmap", volume)["data"]["settings.yaml"])
        self._install(image, present | settings, "modelyard-settings-changed")
        try:
            yield
        finally:
            self._put(before["spec"]["template"]["spec"]["containers"][0]["image"], volume)

    def _install(self, image: str, settings: dict[str, Any], config_map: str) -> None:
        body: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": config_map},
            "data": {"settings.yaml": json.dumps(settings)},
        }
        self._kubectl.apply(body)
        self._put(image, config_map)

    def _put(self, image: str, config_map: str) -> None:
        patch = [
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image},
            {"op": "replace", "path": "/spec/template/spec/volumes/0/configMap/name", "value": config_map},
        ]
        self._kubectl.run("patch", DEPLOYMENT, "--type=json", f"--patch={json.dumps(patch)}")
        self._rolled_out()

    def _rolled_out(self) -> None:
        self._kubectl.run("rollout", "status", DEPLOYMENT, f"--timeout={READY_S}s", timeout_s=READY_S + 30)
