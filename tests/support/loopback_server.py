"""A server on the loopback whose connections each have a thread; it ends with all that it opened."""

import contextlib
import socket
import threading
from collections.abc import Callable


class LoopbackServer:
    """``serve`` is called with each connection. What it opens besides it hands to ``keep``, and starts by ``run``.

    Listens on a port of its own, or on the ``server`` that it is given.
    """

    def __init__(self, serve: Callable[[socket.socket], None], server: socket.socket | None = None) -> None:
        self._serve = serve
        self._server = server or socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._server]
        self._threads: list[threading.Thread] = []
        self.run(self._accept)

    @property
    def port(self) -> int:
        port: int = self._server.getsockname()[1]
        return port

    def keep(self, connection: socket.socket) -> socket.socket:
        """Have it closed at the end."""
        self._open.append(connection)
        return connection

    def run(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        """Work in a thread, which the end waits for."""
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                self.run(self._serve, self.keep(client))

    def close(self) -> None:
        """End every connection and wait for every thread."""
        for open_ in list(self._open):
            close(open_)
        for thread in self._threads:
            thread.join()


def close(connection: socket.socket) -> None:
    """Close a connection so that a thread that waits for it wakes up."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
