"""A proxy on the loopback that does to the bytes of a server what bad networks and disks do."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.loopback_server import LoopbackServer, close

Fault = Callable[["Answer", bytes], bytes | None]
"""Given an answer and its next bytes: what the client gets instead, or None to reset the connection after them."""


class Answer:
    """What a fault knows of the connection it works on."""

    def __init__(self) -> None:
        self.request = ""
        """The first line of the latest request."""
        self.passed_bytes = 0
        """Of the answer to that."""


def _no_fault(_: Answer, data: bytes) -> bytes:
    return data


class FaultyProxy:
    """Passes each connection on to a port of the loopback. ``fault`` may be set at any time.

    ``at_once`` is how many connections it takes at once: others are reset. None: all.
    """

    def __init__(self, to_port: int, tls: ssl.SSLContext | None) -> None:
        self.fault: Fault = _no_fault
        self.at_once: int | None = None
        self._open = 0
        self._lock = threading.Lock()
        self._to_port = to_port
        self._tls = tls
        self._server = LoopbackServer(self._serve)
        self.port = self._server.port

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open += 1
            is_one_too_many = self.at_once is not None and self._open > self.at_once
        try:
            if is_one_too_many:
                _reset_when_closed(client)
                client.close()
            else:
                self._pass(client)
        finally:
            with self._lock:
                self._open -= 1

    def _pass(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either side went
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
                self._server.keep(client)
            server = self._server.keep(socket.create_connection(("127.0.0.1", self._to_port)))
            answer = Answer()
            requests = self._server.run(self._pass_requests, client, server, answer)
            self._pass_answers(client, server, answer, requests)
        close(client)

    def _pass_requests(self, client: socket.socket, server: socket.socket, answer: Answer) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                answer.request, answer.passed_bytes = data.partition(b"\r\n")[0].decode(), 0
                server.sendall(data)
        close(server)

    def _pass_answers(
        self, client: socket.socket, server: socket.socket, answer: Answer, requests: threading.Thread
    ) -> None:
        while data := server.recv(65536):
            changed = self.fault(answer, data)
            if changed is None:
                _reset_when_closed(client)
                # Wakes the other thread, which else keeps the socket from its end; without TLS' own last words.
                socket.socket.shutdown(client, socket.SHUT_RDWR)
                requests.join()  # or it might read from the next connection, which may get the same descriptor
                client.close()
                close(server)
                return
            client.sendall(changed)
            answer.passed_bytes += len(data)

    def close(self) -> None:
        """End every connection."""
        self._server.close()


def _reset_when_closed(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def faulty_proxy(to_port: int, tls: ssl.SSLContext | None = None) -> Iterator[FaultyProxy]:
    """A proxy in front of a port of the loopback; with ``tls`` its clients speak TLS and the server does not."""
    proxy = FaultyProxy(to_port, tls)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def held(link: FaultyProxy, name: str, after_bytes: int) -> Iterator[threading.Event]:
    """Files with ``name`` in their path stop after so many bytes, until the event is set."""
    go_on = threading.Event()

    def hold(answer: Answer, data: bytes) -> bytes:
        if answer.request.startswith("GET ") and name in answer.request and answer.passed_bytes > after_bytes:
            go_on.wait()
        return data

    link.fault = hold
    yield go_on
    go_on.set()
