"""A forward proxy on the loopback: tunnels by CONNECT, and plain requests passed on.

Every host is the loopback to it: so a host name that only it knows proves that a client went through it.
"""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support.loopback_server import LoopbackServer, close

_HEAD_LIMIT_BYTES = 65536


class ForwardProxy:
    """``targets`` has the host and port of each request; with ``refusal`` (407) it answers that and nothing else."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.refusal = 0
        self._server = LoopbackServer(self._serve)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):  # either side went
            line, _, rest = _head(client).partition(b"\r\n")
            method, target, version = line.decode().split(" ")
            address = target if method == "CONNECT" else urlsplit(target).netloc
            self.targets.append(address)
            if self.refusal:
                client.sendall(b"HTTP/1.1 %d refused\r\nContent-Length: 0\r\n\r\n" % self.refusal)
            else:
                port = int(address.rpartition(":")[2])
                server = self._server.keep(socket.create_connection(("127.0.0.1", port)))
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = target.partition(address)[2]
                    server.sendall(f"{method} {path} {version}\r\nConnection: close\r\n".encode() + rest)
                self._server.run(_pass_on, client, server)
                _pass_on(server, client)
        close(client)

    def close(self) -> None:
        """End every connection."""
        self._server.close()


def _head(client: socket.socket) -> bytes:
    """A request's head. Raises OSError when it does not come."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        if not data or len(head) > _HEAD_LIMIT_BYTES:
            raise ConnectionAbortedError
        head += data
    return head


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    close(target)


@contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    """A proxy until the context's end."""
    proxy = ForwardProxy()
    try:
        yield proxy
    finally:
        proxy.close()
