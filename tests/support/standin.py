"""The stand-in engine as a real process on the loopback, and a client for it."""

import http.client
import json
import os
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.images.standin import derive
from tests.support.background_process import BackgroundProcess
from tests.support.eventually import eventually
from tests.support.ports import free_port

VLLM = Path(derive.__file__).with_name("vllm")
QUICK = {"STANDIN_LOAD_S": "0", "STANDIN_TEARDOWN_S": "0", "STANDIN_TOKENS_PER_S": "1000"}
TIMEOUT_S = 30.0
SILENCE_S = 0.3


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Stream:
    """The client's end of a streamed answer."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse

    def first(self) -> Any:
        """Waits for the first event."""
        return events(self.response.readline())[0]

    def rest(self) -> list[Any]:
        """All that still comes, until the server ends the answer."""
        return events(self.response.read())

    def is_silent(self) -> bool:
        """Whether the connection is open and nothing more comes for the time of several tokens."""
        while select.select([self.connection.sock], [], [], SILENCE_S)[0]:
            if not self.connection.sock.recv(65536):
                return False
        return True

    def leave(self) -> None:
        self.response.close()
        self.connection.close()


class Standin(BackgroundProcess):
    """A running stand-in; `environment` holds its controls beside the quick ones."""

    def __init__(self, model: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        command: list[str | Path] = [sys.executable, VLLM, "serve", model, "--served-model-name", "tiny"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), *arguments]
        super().__init__(command, {**os.environ, "PYTHONUNBUFFERED": "1", **QUICK, **(environment or {})})

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request on a connection of its own. Raises OSError when nothing answers."""
        connection = self.connect()
        try:
            self.send(connection, method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    @staticmethod
    def send(
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, sent, {"content-type": "application/json", **(headers or {})})

    @contextmanager
    def streaming(self, **fields: Any) -> Iterator["Stream"]:
        """A completion in flight, its head already read; by default a long one."""
        connection = self.connect()
        try:
            fields = {"model": "tiny", "prompt": "hi", "max_tokens": 1000, "ignore_eos": True, "stream": True} | fields
            self.send(connection, "POST", "/v1/completions", fields)
            yield Stream(connection, connection.getresponse())
        finally:
            connection.close()

    def is_refused(self) -> bool:
        try:
            self.request("GET", "/health")
        except ConnectionRefusedError:
            return True
        except ConnectionError:  # accepted in the moment of closing
            return False
        return False

    def gauge(self, name: str) -> float | None:
        """The value of one of vLLM's metrics without labels of its own; None where it has no sample."""
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            if line.startswith(f"{name}{{"):
                return float(line.rpartition(" ")[2])
        return None

    def is_ready(self) -> "Standin":
        eventually(lambda: not self.is_refused())
        return self


def events(stream: bytes) -> list[Any]:
    """The data of server-sent events, the closing `[DONE]` as that text."""
    found = [line.removeprefix(b"data: ").strip() for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [text.decode() if text == b"[DONE]" else json.loads(text) for text in found]
