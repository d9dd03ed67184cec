"""Client of the node agent: requests space in the node's cache, and removals that only the agent may make
(contract/agent_protocol.py).
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from modelyard.contract.agent_protocol import LINE_LIMIT_BYTES, DiscardAnswer, DiscardRequest, SpaceAnswer, SpaceRequest
from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.failure import FetchError

ANSWER_LIMIT_S = 5.0
"""How long the agent may take to answer; it may have to evict first."""

ASK_AGAIN_S = 0.5

_log = logging.getLogger("modelyard.fetcher")

Answer = TypeVar("Answer", SpaceAnswer, DiscardAnswer)


class Grant:
    """Space that the agent granted, for as long as the context of Agent.space lasts."""

    def __init__(self, agent: "Agent", request: SpaceRequest, connection: socket.socket) -> None:
        self._agent = agent
        self._request = request
        self._connection = connection
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._refusal: FetchError | None = None
        threading.Thread(target=self._keep, name="space", daemon=True).start()

    def check(self) -> None:
        """Raises FetchError when an agent that restarted does not grant the space again."""
        if self._refusal:
            raise self._refusal

    def end(self) -> None:
        """Gives the space back."""
        self._ended.set()
        with self._lock, contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closes it

    def _keep(self) -> None:
        while not self._ended.is_set():
            _await_end(self._connection)
            if not self._ended.is_set():
                _log.warning("the node agent disconnected: the download continues, and space is reserved again")
                self._ask_again()
        self._connection.close()

    def _ask_again(self) -> None:
        while not self._ended.is_set():
            try:
                connection = self._agent.ask_for_space(self._request)
            except FetchError as error:
                if error.reason is not Reason.CACHE_AGENT_UNAVAILABLE:
                    self._refusal = error
                    self._ended.set()
                self._ended.wait(ASK_AGAIN_S)
                continue
            with self._lock:
                self._connection.close()
                self._connection = connection
                if self._ended.is_set():
                    connection.shutdown(socket.SHUT_RDWR)
            return


def _await_end(connection: socket.socket) -> None:
    """Blocks until the other side is gone; discards what it sends."""
    connection.settimeout(None)
    with contextlib.suppress(OSError):
        while connection.recv(LINE_LIMIT_BYTES):
            pass


class Agent:
    """The node agent behind a socket. Every method raises FetchError when it does not answer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def space(self, digest: str, size_bytes: int) -> Iterator[Grant]:
        """Reserves space for the whole model, including its staged part. Raises FetchError with the agent's reason."""
        request = SpaceRequest(digest, size_bytes)
        grant = Grant(self, request, self.ask_for_space(request))
        try:
            yield grant
        finally:
            grant.end()

    def ask_for_space(self, request: SpaceRequest) -> socket.socket:
        """The connection that holds the granted space."""
        connection, answer = self._ask(request.as_line(), SpaceAnswer.parse)
        if answer.reason is None:
            return connection
        connection.close()
        raise FetchError(answer.reason, answer.message)

    def discard(self, digest: str) -> None:
        """Has the agent remove a broken entry that this user may not move. Raises FetchError if it stays."""
        connection, answer = self._ask(DiscardRequest(digest).as_line(), DiscardAnswer.parse)
        connection.close()
        if not answer.discarded:
            raise FetchError(
                Reason.CACHE_NOT_WRITABLE,
                f"the node agent did not remove a corrupt entry of another user's pod: {answer.message}",
            )

    def _ask(self, line: bytes, parse: Callable[[bytes], Answer]) -> tuple[socket.socket, Answer]:
        """The open connection and the answer."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            deadline_s = time.monotonic() + ANSWER_LIMIT_S
            connection.settimeout(ANSWER_LIMIT_S)
            connection.connect(str(self._path))
            connection.sendall(line)
            answer = parse(_line(connection, deadline_s))
        except (OSError, ValueError) as error:
            connection.close()
            raise FetchError(
                Reason.CACHE_AGENT_UNAVAILABLE,
                f"the node agent does not respond at {self._path} ({str(error)[:200] or type(error).__name__}): check "
                "the pod of modelyard-node on this node. The fetch is retried; cached models need no agent",
            ) from error
        return connection, answer


def _line(connection: socket.socket, deadline_s: float) -> bytes:
    """One line, without its end. Raises OSError or ValueError when it does not come whole and in time."""
    line = b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        read = connection.recv(LINE_LIMIT_BYTES)
        line += read
        if not read or len(line) > LINE_LIMIT_BYTES:
            raise ValueError("its response is truncated or too long")
    return line
