"""Streamed requests to one service by a fixed number of clients, from a pod inside the cluster."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.images import reference
from e2e.support.kubectl import Kubectl, Object
from e2e.support.objects import pod, run
from tests.support.eventually import eventually

PROGRAM = Path(__file__).parent / "stream_generator.py"
LIMIT_S = 1800
"""The clients end after that, whatever becomes of the test."""
START_S = 120


@dataclass(frozen=True)
class Streams:
    """The pod of the clients, and what came of their requests so far."""

    kubectl: Kubectl
    name: str

    def answered(self) -> int:
        """Answers that came whole."""
        return int(self._last_line().get("answered", 0))

    def errors(self) -> list[str]:
        """The first requests that brought no whole answer: time and error of each."""
        found: list[str] = self._last_line().get("errors", [])
        return found

    def _last_line(self) -> Object:
        lines = self.kubectl.run("logs", self.name, "--tail=1").splitlines()
        line: Object = json.loads(lines[-1]) if lines else {}
        return line


@contextmanager
def streams(
    kubectl: Kubectl, service: str, *, clients: int, tokens: int = 20, limit_s: int = LIMIT_S
) -> Iterator[Streams]:
    """``clients`` that stream from the service, which answers already, from here to the end of the block."""
    name = f"clients-of-{service}"
    arguments = (f"http://{service}.{kubectl.namespace}.svc", str(clients), str(tokens), str(limit_s))
    resources = {"requests": {"cpu": "20m", "memory": "48Mi"}}
    command = ("python3", "-c", PROGRAM.read_text(), *arguments)
    body = pod(name, reference("standin"), command=command, resources=resources)
    body["spec"]["restartPolicy"] = "Never"
    run(kubectl, body, START_S)
    busy = Streams(kubectl, name)
    try:
        eventually(lambda: busy.answered() >= 1, within_s=START_S, every_s=1)
        yield busy
    finally:
        kubectl.run("delete", "pod", name, "--wait=true", "--grace-period=0", "--force")
