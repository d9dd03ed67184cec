"""What services report, moment by moment: every state that the API server stored, delivered by one watch."""

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Event, Thread

from e2e.support.kubectl import Kubectl, Object, condition

UNDER_WAY = frozenset(
    {
        "Creating",
        "Scheduling",
        "Preparing",
        "WaitingForContainer",
        "Fetching",
        "FetcherUnreachable",
        "Starting",
        "RollingOut",
    }
)
"""Reasons that require no action."""


@dataclass(frozen=True)
class Moment:
    """A service as it was stored, and when that arrived, in seconds of the monotonic clock."""

    at_s: float
    body: Object

    def reports(self, type_: str = "Ready") -> tuple[str, str]:
        """The reason and the message of a condition; empty before there is one."""
        found = condition(self.body, type_) or {}
        return str(found.get("reason", "")), str(found.get("message", ""))

    @property
    def is_ready(self) -> bool:
        return (condition(self.body, "Ready") or {}).get("status") == "True"

    @property
    def is_contradictory(self) -> bool:
        """It is both on its way and held up, in kstatus's words."""
        return condition(self.body, "Reconciling") is not None and condition(self.body, "Stalled") is not None


class Stories:
    """The moments of all services of a namespace, as they arrive."""

    def __init__(self) -> None:
        self._moments: dict[str, list[Moment]] = defaultdict(list)
        self._news = Condition()

    def add(self, line: str) -> None:
        """Take one event of the API server's watch."""
        event = json.loads(line)
        if event["type"] not in {"ADDED", "MODIFIED"}:
            return
        with self._news:
            self._moments[event["object"]["metadata"]["name"]].append(Moment(time.monotonic(), event["object"]))
            self._news.notify_all()

    def add_all(self, lines: Iterable[str]) -> None:
        """Take the events of a watch until it ends."""
        for line in lines:
            self.add(line)

    def of(self, name: str) -> list[Moment]:
        """All moments of the service so far."""
        with self._news:
            return list(self._moments[name])

    def first(self, name: str, holds: Callable[[Moment], bool], *, since_s: float, within_s: float) -> Moment:
        """The first moment from ``since_s`` on that ``holds``; what was in force at ``since_s`` is one of them.

        Raises AssertionError with all that was reported when ``within_s`` have passed since then.
        """
        with self._news:
            while True:
                for moment in self._since(name, since_s):
                    if moment.at_s - since_s <= within_s and holds(moment):
                        return moment
                left_s = since_s + within_s - time.monotonic()
                if left_s <= 0:
                    reported = [(round(m.at_s - since_s, 1), *m.reports()) for m in self._moments[name]]
                    raise AssertionError(f"{name} did not come to it within {within_s:g} s; it reported {reported}")
                self._news.wait(left_s)

    def stays(self, name: str, holds: Callable[[Moment], bool], *, for_s: float) -> None:
        """Wait ``for_s`` seconds. Raises AssertionError at the first moment that no longer ``holds``."""
        until_s = time.monotonic() + for_s
        with self._news:
            while holds(self._moments[name][-1]):
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    return
                self._news.wait(left_s)
            raise AssertionError(f"{name} came to report {self._moments[name][-1].reports()}")

    def _since(self, name: str, since_s: float) -> list[Moment]:
        moments = self._moments[name]
        later = [moment for moment in moments if moment.at_s >= since_s]
        before = moments[: len(moments) - len(later)]
        return [Moment(since_s, moment.body) for moment in before[-1:]] + later


@contextmanager
def stories(kubectl: Kubectl) -> Iterator[Stories]:
    """The stories of the namespace's services from now on; a watch that the API server ends is begun again."""
    collected, over = Stories(), Event()
    path = f"/apis/serving.modelyard.dev/v1alpha1/namespaces/{kubectl.namespace}/inferenceservices?watch=true"
    watches: list[subprocess.Popen[str]] = []

    def listen() -> None:
        while not over.is_set():
            with subprocess.Popen(kubectl.command("get", "--raw", path), stdout=subprocess.PIPE, text=True) as watch:
                watches.append(watch)
                assert watch.stdout is not None
                if over.is_set():
                    watch.terminate()
                collected.add_all(watch.stdout)

    listener = Thread(target=listen)
    listener.start()
    try:
        yield collected
    finally:
        over.set()
        for watch in watches:
            watch.terminate()
        listener.join()
