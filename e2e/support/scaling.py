"""Services that scale, what they report of it, and every number of replicas that they had."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from threading import Thread

from e2e.support.kubectl import Kubectl, Object, condition
from e2e.support.services import light
from tests.support.eventually import eventually

READY_S = 240
UP_S = 300
"""Two readings of the metrics, a decision, and the start of a pod, several times over on a busy machine."""

REQUESTS_AT_ONCE = 4
TOKENS_PER_S = 5
"""Of each running request: a replica answers one request of 20 tokens per second."""

BUSY = 30
"""Clients whose requests keep three replicas at work, and a queue before them."""


def scaled(
    name: str,
    scaling: Object,
    *,
    environment: dict[str, str] | None = None,
    requests_at_once: int = REQUESTS_AT_ONCE,
    **spec: object,
) -> Object:
    """A service of a slow stand-in engine that scales; ``environment`` is the engine's."""
    variables = {"STANDIN_TOKENS_PER_S": str(TOKENS_PER_S)} | (environment or {})
    engine = {
        "args": [f"--max-num-seqs={requests_at_once}"],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
    }
    fields = {"scaling": scaling} if scaling else {}
    return light(name, engine=engine, **(fields | spec))


def start(kubectl: Kubectl, body: Object) -> str:
    """Apply the service and wait until it is ready; returns its name."""
    kubectl.apply(body)
    name = str(body["metadata"]["name"])
    kubectl.wait(f"infsvc/{name}", "condition=Ready", READY_S)
    return name


def scaling_of(kubectl: Kubectl, name: str) -> Object:
    """What the service reports of its scaling; empty before the first decision."""
    found: Object = (kubectl.get("infsvc", name).get("status") or {}).get("scaling") or {}
    return found


def active(kubectl: Kubectl, name: str) -> tuple[str, str, str]:
    """Status, reason and message of the condition ScalingActive; empty before there is one."""
    found = condition(kubectl.get("infsvc", name), "ScalingActive") or {}
    return str(found.get("status", "")), str(found.get("reason", "")), str(found.get("message", ""))


def replicas(kubectl: Kubectl, name: str) -> int:
    """How many replicas the service's Deployment is set to."""
    return int(kubectl.get("deployment", name)["spec"]["replicas"])


def serves(kubectl: Kubectl, name: str, number: int, within_s: float = UP_S) -> None:
    """Wait until so many replicas are ready, and no others are wanted."""

    def reached() -> bool:
        ready = (kubectl.get("infsvc", name).get("status") or {}).get("readyReplicas")
        return ready == number and replicas(kubectl, name) == number

    eventually(reached, within_s=within_s, every_s=2)


@contextmanager
def numbers(kubectl: Kubectl, name: str) -> Iterator[list[int]]:
    """Each number of replicas that the Deployment is set to from here on, the present one first; none is missed."""
    command = kubectl.command("get", "deployment", name, "--watch", "--output=jsonpath={.spec.replicas}{'\\n'}")
    seen: list[int] = []

    def listen(watch: "subprocess.Popen[str]") -> None:
        assert watch.stdout is not None
        for line in watch.stdout:
            number = int(line)
            if seen[-1:] != [number]:
                seen.append(number)

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        listener = Thread(target=listen, args=(watch,))
        listener.start()
        try:
            eventually(lambda: seen, within_s=30)
            yield seen
        finally:
            watch.terminate()
            listener.join()


def rises_and_falls_once(seen: Sequence[int]) -> bool:
    """Whether the numbers go up, then down, and never up again."""
    directions = [after > before for before, after in pairwise(seen)]
    return [up for up, _ in groupby(directions)] in ([], [True], [False], [True, False])


def history(kubectl: Kubectl, name: str) -> list[tuple[int, int]]:
    """The changes that the status remembers, the oldest first."""
    return [(each["from"], each["to"]) for each in reversed(scaling_of(kubectl, name).get("history", []))]


def events(kubectl: Kubectl, name: str, reason: str) -> list[str]:
    """The notes of the service's events with that reason."""
    found = kubectl.list("events.events.k8s.io")
    return [each["note"] for each in found if each["regarding"]["name"] == name and each["reason"] == reason]


def stays_so(holds: Callable[[], bool], *, for_s: float, every_s: float = 2) -> None:
    """Watch for ``for_s`` seconds. Raises AssertionError at the first look at which it no longer ``holds``."""
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        assert holds()
        time.sleep(every_s)


def silence(kubectl: Kubectl, pod: str) -> None:
    """From now on the stand-in in that pod accepts requests for its metrics and answers none."""
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}:8000/proxy/standin/silence_metrics"
    kubectl.run("create", "--raw", path, "--filename=-", stdin="")


def time_of_day(minutes: float) -> str:
    """The time in UTC so many minutes from now, as a schedule has it."""
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%H:%M")
