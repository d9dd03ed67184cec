"""Asks the node agent for space in the node's cache, and to put out of the way what only it may.

A unix socket in the namespace's part of the cache (layout.CacheLayout.agent_socket), one JSON object per line each way:

    {"ask": "space", "pod": uid, "digest": "sha256:..", "bytes": N}
        -> {"granted": true} or {"granted": false, "reason": "CacheFull", "message": "..."}
    {"ask": "discard", "digest": "sha256:.."}
        -> {"discarded": true} or {"discarded": false, "message": "..."}
    anything it cannot answer -> {"error": "..."}

Space is granted for as long as the connection lives, so it is given back by whatever ends this process. An agent that
restarts has forgotten what it granted: it is asked again while the download goes on.
"""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.failure import FetchError

ANSWER_LIMIT_S = 5.0
"""How long the agent may take for an answer, which it may have to evict for."""

ASK_AGAIN_S = 0.5

_LINE_LIMIT_BYTES = 4096
_MESSAGE_LIMIT = 1000
_NO_WORDS = "it gave no message: look at its log"
_log = logging.getLogger("modelyard.fetcher")


class Grant:
    """Space that the agent granted, for as long as the context of Agent.space lasts."""

    def __init__(self, agent: "Agent", request: dict[str, Any], connection: socket.socket) -> None:
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
                _log.warning("the node agent went away: the download goes on, and space is asked for again")
                self._ask_again()
        self._connection.close()

    def _ask_again(self) -> None:
        while not self._ended.is_set():
            try:
                connection = self._agent.ask_for_space(self._request)
            except FetchError as error:
                if error.reason is not Reason.CACHE_AGENT_SILENT:
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
    """Until the other side is gone: it has nothing more to say."""
    connection.settimeout(None)
    with contextlib.suppress(OSError):
        while connection.recv(_LINE_LIMIT_BYTES):
            pass


class Agent:
    """The node agent behind a socket. Every method raises FetchError when it does not answer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def space(self, pod_uid: str, digest: str, size_bytes: int) -> Iterator[Grant]:
        """Holds room for the whole model, what is staged of it included. Raises FetchError with the agent's reason."""
        request = {"ask": "space", "pod": pod_uid, "digest": digest, "bytes": size_bytes}
        grant = Grant(self, request, self.ask_for_space(request))
        try:
            yield grant
        finally:
            grant.end()

    def ask_for_space(self, request: dict[str, Any]) -> socket.socket:
        """The connection that holds the granted space."""
        connection, answer = self._ask(request)
        if answer.get("granted") is True:
            return connection
        connection.close()
        raise FetchError(_reason(answer.get("reason")), _words(answer))

    def discard(self, digest: str) -> None:
        """Has a broken entry put out of the way that this user may not move. Raises FetchError where it stays."""
        connection, answer = self._ask({"ask": "discard", "digest": digest})
        connection.close()
        if answer.get("discarded") is not True:
            raise FetchError(
                Reason.CACHE_NOT_WRITABLE,
                f"the node agent leaves a broken entry in place that belongs to another user's pod: {_words(answer)}",
            )

    def _ask(self, request: dict[str, Any]) -> tuple[socket.socket, dict[str, Any]]:
        """The open connection and the answer."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            deadline_s = time.monotonic() + ANSWER_LIMIT_S
            connection.settimeout(ANSWER_LIMIT_S)
            connection.connect(str(self._path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = _object(_line(connection, deadline_s))
        except (OSError, ValueError, RecursionError) as error:
            connection.close()
            raise FetchError(
                Reason.CACHE_AGENT_SILENT,
                f"the node agent does not answer at {self._path} ({str(error)[:200] or type(error).__name__}): look at "
                "the pod of modelyard-node on this node. It is asked again; models that are in the cache need no agent",
            ) from error
        return connection, answer


def _line(connection: socket.socket, deadline_s: float) -> bytes:
    """One line, without its end. Raises OSError or ValueError when it does not come whole and in time."""
    line = b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        read = connection.recv(_LINE_LIMIT_BYTES)
        line += read
        if not read or len(line) > _LINE_LIMIT_BYTES:
            raise ValueError("its answer is cut off or too long")
    return line


def _object(line: bytes) -> dict[str, Any]:
    """Raises ValueError for what is no JSON object, and for one that tells an error."""
    answer = json.loads(line)
    if not isinstance(answer, dict):
        raise ValueError("its answer is no object")  # noqa: TRY004 - what was told is wrong, not its type in the code
    if "error" in answer:
        raise ValueError(f"it says: {_clean(answer['error'])}")
    return answer


def _reason(told: object) -> Reason:
    known = {Reason.BUDGET_TOO_SMALL, Reason.CACHE_FULL, Reason.OVER_BUDGET}
    return next((reason for reason in known if reason == told), Reason.CACHE_FULL)


def _words(answer: dict[str, Any]) -> str:
    """The agent's own message."""
    return _clean(answer.get("message")) or _NO_WORDS


def _clean(text: object) -> str:
    """A text of the agent's as it may stand in a log; empty for what is none."""
    return "".join(c for c in text if c.isprintable())[:_MESSAGE_LIMIT] if isinstance(text, str) else ""
