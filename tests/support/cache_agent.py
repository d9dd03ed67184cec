"""A node agent that a test plays: it speaks the socket's protocol, grants what the test allows, and can restart."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.loopback_server import LoopbackServer

Answer = Callable[[dict[str, Any]], Any]
"""The answer to a request: an object for a line of JSON, bytes as they are, or None for nothing at all."""


def grant(request: dict[str, Any]) -> Any:
    """The answers of an agent with space."""
    return {"granted": True} if request["ask"] == "space" else {"discarded": True}


class CacheAgent:
    """``requests`` are all so far, ``grants`` how many connections are open; ``answer`` may be set."""

    def __init__(self, path: Path) -> None:
        self.requests: list[dict[str, Any]] = []
        self.grants = 0
        self.answer: Answer = grant
        self._path = path
        self._lock = threading.Lock()
        self._server: LoopbackServer | None = None

    def start(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        self._path.chmod(0o666)
        listener.listen()
        self._server = LoopbackServer(self._serve, listener)

    def stop(self) -> None:
        """As when the agent's process ends: every connection is cut."""
        if self._server:
            self._path.unlink()
            self._server.close()
        self._server = None

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.grants += 1
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            if line := lines.readline(4096):
                request = json.loads(line)
                self.requests.append(request)
                answer = self.answer(request)
                if answer is not None:
                    connection.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")
                lines.readline()  # until the other side goes
        with self._lock:
            self.grants -= 1


@contextmanager
def cache_agent(path: Path) -> Iterator[CacheAgent]:
    """An agent that runs and has room."""
    agent = CacheAgent(path)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()
