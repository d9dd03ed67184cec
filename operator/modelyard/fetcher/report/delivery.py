"""How the report reaches the operator: `GET /` on the fetcher's port answers it; else the program ends to deliver it.

If a NetworkPolicy blocks the operator from the fetcher's port, only a termination message reaches it. Each failure is
reported so once: the kubelet keeps the message, and would restart a program that kept ending at growing intervals.
"""

import contextlib
import time
from collections.abc import Callable
from http.server import HTTPServer
from pathlib import Path

from modelyard.contract import page_server
from modelyard.fetcher.report.state import State

CONNECTIONS = 8
"""At once: the operator sends one request every few seconds."""

CONNECTION_LIMIT_S = 2.0

UNREAD_S = 20.0
"""How long a failure may stay unread. The operator asks every 5 s while a fetcher runs (observe/status.py)."""

REPORTED_FILE = ".reported"


def serve(state: State, port: int) -> HTTPServer:
    """Serves the report on every address of the pod. Raises OSError when the port is taken."""
    return page_server.serve(
        port,
        {"/": lambda: _read(state)},
        connections=CONNECTIONS,
        connection_limit_s=CONNECTION_LIMIT_S,
    )


def _read(state: State) -> page_server.Page:
    state.note_read()
    return page_server.as_json(state.report().as_json())


class Unread:
    """Whether the failures of this program's attempts are read.

    ``folder`` outlives the container, not the pod. ``last_read_s`` is when the report was last read, by ``clock_s``.
    """

    def __init__(
        self,
        folder: Path,
        last_read_s: Callable[[], float | None],
        *,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reported = folder / REPORTED_FILE
        self._last_read_s = last_read_s
        self._clock_s = clock_s
        self._sleep = sleep
        self._failed_s: float | None = None

    def wait(self, reason: str, delay_s: float) -> bool:
        """Wait for the next attempt, ``delay_s`` after one that failed for ``reason``.

        False: the program must end now, for the failure was not read for UNREAD_S and no end has reported it yet.
        """
        now_s = self._clock_s()
        self._failed_s = now_s if self._failed_s is None else self._failed_s
        next_s = now_s + delay_s
        if self._is_reported(reason):
            self._sleep(delay_s)
            return True
        while (due_s := self._unread_since_s(self._failed_s) + UNREAD_S) <= next_s:
            if due_s <= self._clock_s():
                self._note(reason)
                return False
            self._sleep(due_s - self._clock_s())
        self._sleep(max(0.0, next_s - self._clock_s()))
        return True

    def _unread_since_s(self, failed_s: float) -> float:
        return max(failed_s, self._last_read_s() or failed_s)

    def _is_reported(self, reason: str) -> bool:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return self._reported.read_text() == reason
        return False

    def _note(self, reason: str) -> None:
        with contextlib.suppress(OSError):  # without space for it the next failure ends the program again
            self._reported.write_text(reason)
