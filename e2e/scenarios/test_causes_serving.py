"""What goes wrong with engines that have served, and with those that take their time until they do."""

import time

from e2e.cluster.images import reference
from e2e.support.kubectl import Kubectl, Object, condition
from e2e.support.services import light, pods_of
from e2e.support.stories import UNDER_WAY, stories

READY_S = 240
WITHIN_S = 60
THREE_RESTARTS_S = 180
"""Three runs of 15 seconds, and the kubelet's 10, 20 and 40 seconds between them."""

ONE_RUN_S = 20
NEXT_TRY_S = 40
"""The kubelet's longest wait before one of the first three runs."""

SIGNAL_ENGINE = """
import os, pathlib, signal, sys
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    if stat.read_text().rpartition(")")[2].split()[1] == "1":
        os.kill(int(stat.parent.name), getattr(signal, sys.argv[1]))
"""
"""Signals the engine, which the launcher (process 1) started."""

KILL_ENGINE = """
import urllib.request
urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8000/standin/kill_engine", method="POST"))
"""
"""Ends the engine behind its server, which then ends too."""

TAKE_PORT = """
import signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
taken = socket.socket()
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
while True:
    try:
        taken.bind(("", 8000))
        taken.listen()
        break
    except OSError:
        time.sleep(0.01)
signal.pause()
"""
"""Takes the engine's port as soon as it is free, until a signal to stop."""


def _environment(**variables: str) -> Object:
    return {"env": [{"name": f"STANDIN_{name.upper()}", "value": value} for name, value in variables.items()]}


def _signal(kubectl: Kubectl, pod: Object, name: str) -> None:
    kubectl.run("exec", pod["metadata"]["name"], "-c", "engine", "--", "python3", "-c", SIGNAL_ENGINE, name)


def test_an_engine_that_hangs_is_reported_and_one_of_two_degrades_the_service(namespace: Kubectl) -> None:
    namespace.apply(light("single"), light("pair", replicas=2))
    namespace.wait("infsvc/single", "jsonpath={.status.readyReplicas}=1", READY_S)
    namespace.wait("infsvc/pair", "jsonpath={.status.readyReplicas}=2", READY_S)
    (single,), (one, _) = pods_of(namespace, "single"), pods_of(namespace, "pair")

    with stories(namespace) as watched:
        made_s = time.monotonic()
        _signal(namespace, single, "SIGSTOP")
        _signal(namespace, one, "SIGSTOP")

        hangs = watched.first("single", lambda m: m.reports()[0] == "ProbeFailing", since_s=made_s, within_s=WITHIN_S)
        degraded = watched.first("pair", lambda m: m.reports()[0] == "Degraded", since_s=made_s, within_s=WITHIN_S)
        cured_s = time.monotonic()
        _signal(namespace, single, "SIGCONT")
        _signal(namespace, one, "SIGCONT")
        for name in ("single", "pair"):
            watched.first(name, lambda m: m.reports()[0] == "Ready", since_s=cured_s, within_s=WITHIN_S)

        assert not hangs.is_ready
        assert "probe" in hangs.reports()[1]
        assert degraded.is_ready
        assert "1 of 2 replicas" in degraded.reports()[1]
        assert degraded.reports("Available")[0] == "ProbeFailing"
        assert [m.reports()[0] for m in watched.of("pair") if not m.is_ready] == []
        reasons = {m.reports()[0] for m in watched.of("pair")} | {m.reports()[0] for m in watched.of("single")}
        assert reasons - UNDER_WAY == {"Ready", "ProbeFailing", "Degraded"}


def test_an_engine_that_dies_again_and_again_after_it_came_up_does_not_count_as_ready(namespace: Kubectl) -> None:
    with stories(namespace) as watched:
        made_s = time.monotonic()
        namespace.apply(light("dies", engine=_environment(dies_after_s="12", death_exit_s="0")))

        looping = watched.first(
            "dies", lambda m: m.reports()[0] == "CrashLooping", since_s=made_s, within_s=THREE_RESTARTS_S + WITHIN_S
        )
        assert "exited 3 times, most recently with code 0" in looping.reports()[1]
        watched.stays("dies", lambda m: m.reports()[0] == "CrashLooping", for_s=ONE_RUN_S)

        cured_s = time.monotonic()
        namespace.apply(light("dies"))
        watched.first("dies", lambda m: m.reports()[0] != "CrashLooping", since_s=cured_s, within_s=WITHIN_S)
        watched.first("dies", lambda m: m.reports()[0] == "Ready", since_s=cured_s, within_s=READY_S)


def test_a_port_that_another_process_of_the_pod_took_is_reported_and_used_once_free_again(namespace: Kubectl) -> None:
    namespace.apply(light("port"))
    namespace.wait("infsvc/port", "condition=Ready", READY_S)
    (pod,) = pods_of(namespace, "port")
    name = pod["metadata"]["name"]
    debugger = ("--image", reference("standin"), "--profile=restricted", "--container=taker")

    with stories(namespace) as watched:
        made_s = time.monotonic()
        namespace.run("debug", name, *debugger, "--", "python3", "-c", TAKE_PORT)
        namespace.wait(f"pod/{name}", "jsonpath={.status.ephemeralContainerStatuses[0].state.running}", WITHIN_S)
        namespace.run("exec", name, "-c", "engine", "--", "python3", "-c", KILL_ENGINE)
        taken = watched.first("port", lambda m: m.reports()[0] == "PortInUse", since_s=made_s, within_s=WITHIN_S)
        assert "ddress already in use" in taken.reports()[1]

        cured_s = time.monotonic()
        namespace.run("exec", name, "-c", "taker", "--", "python3", "-c", "import os; os.kill(1, 15)")
        watched.first("port", lambda m: m.is_ready, since_s=cured_s, within_s=NEXT_TRY_S + WITHIN_S)


def test_a_start_reports_since_when_and_until_when_and_that_it_is_slower_than_usual(namespace: Kubectl) -> None:
    namespace.apply(light("slow"))
    namespace.wait("infsvc/slow", "condition=Ready", READY_S)
    namespace.run("scale", "infsvc/slow", "--replicas=0")
    namespace.wait("infsvc/slow", "jsonpath={.status.reason}=ScaledToZero", WITHIN_S)

    with stories(namespace) as watched:
        made_s = time.monotonic()
        namespace.apply(light("slow", engine=_environment(load_s="45"), startup={"timeoutSeconds": 300}, replicas=1))
        slow = watched.first("slow", lambda m: "; usually " in m.reports()[1], since_s=made_s, within_s=READY_S)
        ready = watched.first("slow", lambda m: m.reports()[0] == "Ready", since_s=made_s, within_s=READY_S)

        assert slow.reports()[0] == "Starting"
        (pod,) = pods_of(namespace, "slow")
        assert pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] in slow.reports()[1]
        after = [m for m in watched.of("slow") if made_s <= m.at_s < ready.at_s]
        assert {m.reports()[0] for m in after} <= UNDER_WAY | {"ScaledToZero"}
        assert all(condition(m.body, "Stalled") is None for m in after)
