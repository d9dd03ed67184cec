"""Requests that flow through the Services of a namespace for as long as a test takes, from a pod inside the cluster."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.images import reference
from e2e.support.kubectl import Kubectl, Object
from tests.support.eventually import eventually

POD = "load"
PROGRAM = Path(__file__).parent / "load_generator.py"
ENOUGH = 5
"""Answers of a service after which its requests count as flowing."""

START_S = 120


@dataclass(frozen=True)
class Load:
    """The pod that sends requests, and what came of them so far."""

    kubectl: Kubectl

    def answered(self) -> dict[str, int]:
        """Whole answers by URL."""
        found: dict[str, int] = self._counts()["answered"]
        return found

    def failed(self) -> list[str]:
        """The requests that brought none: time, URL and error of each."""
        found: list[str] = self._counts()["failed"]
        return found

    def _counts(self) -> Object:
        lines = self.kubectl.run("logs", POD, "--tail=1").splitlines()
        counts: Object = json.loads(lines[-1]) if lines else {"answered": {}, "failed": []}
        return counts

    def flows(self) -> bool:
        """Whether each service has answered a few times."""
        answered = self.answered()
        return bool(answered) and min(answered.values()) >= ENOUGH

    def goes_on(self) -> None:
        """Wait until each service has answered a few times more."""
        before = self.answered()
        eventually(
            lambda: all(count >= before[url] + ENOUGH for url, count in self.answered().items()),
            within_s=START_S,
            every_s=1,
        )


@contextmanager
def load(kubectl: Kubectl, services: Sequence[str]) -> Iterator[Load]:
    """Requests to these services, which answer already, from here to the end of the block."""
    urls = [f"http://{name}.{kubectl.namespace}.svc" for name in services]
    kubectl.apply(_pod(urls))
    requests = Load(kubectl)
    try:
        kubectl.wait(f"pod/{POD}", "condition=Ready", START_S)
        eventually(requests.flows, within_s=START_S, every_s=1)
        yield requests
    finally:
        kubectl.run("delete", "pod", POD, "--wait=false", "--grace-period=0")


def _pod(urls: Sequence[str]) -> Object:
    """A pod that passes Pod Security `restricted`; any image with Python would do."""
    container = {
        "name": POD,
        "image": reference("standin"),
        "command": ["python3", "-c", PROGRAM.read_text(), *urls],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
