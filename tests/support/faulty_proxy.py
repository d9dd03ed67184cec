"""A proxy on the loopback that does to the bytes of a server what bad networks and disks do."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.ports import free_port

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
    """Passes each connection on to a port of the loopback. ``fault`` may be set at any time."""

    def __init__(self, to_port: int, tls: ssl.SSLContext | None) -> None:
        self.port = free_port()
        self.fault: Fault = _no_fault
        self._to_port = to_port
        self._tls = tls
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._open: list[socket.socket] = [self._server]
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                self._run(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either side went
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
                self._open.append(client)
            server = socket.create_connection(("127.0.0.1", self._to_port))
            self._open.append(server)
            answer = Answer()
            self._run(self._pass_requests, client, server, answer)
            self._pass_answers(client, server, answer)
        _close(client)

    def _pass_requests(self, client: socket.socket, server: socket.socket, answer: Answer) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                answer.request, answer.passed_bytes = data.partition(b"\r\n")[0].decode(), 0
                server.sendall(data)
        _close(server)

    def _pass_answers(self, client: socket.socket, server: socket.socket, answer: Answer) -> None:
        while data := server.recv(65536):
            changed = self.fault(answer, data)
            if changed is None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.shutdown(socket.SHUT_RD)  # wakes the other thread, which else keeps the socket from its end
                client.close()
                _close(server)
                return
            client.sendall(changed)
            answer.passed_bytes += len(data)

    def close(self) -> None:
        for open_ in list(self._open):
            _close(open_)
        for thread in self._threads:
            thread.join()


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def faulty_proxy(to_port: int, tls: ssl.SSLContext | None = None) -> Iterator[FaultyProxy]:
    """A proxy in front of a port of the loopback; with ``tls`` its clients speak TLS and the server does not."""
    proxy = FaultyProxy(to_port, tls)
    try:
        yield proxy
    finally:
        proxy.close()
