"""A small HTTP server for pages that any pod may request: connections are limited in time and in number.

Fetcher and node agent both run it; their images hold no web framework. It listens on every address of the pod, IPv4 and
IPv6.
"""

import contextlib
import http.server
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

CONNECTION_LIMIT_S = 5.0
"""How long one client may hold a connection, however slowly it sends."""

_log = logging.getLogger("modelyard.pages")


@dataclass(frozen=True)
class Page:
    """The response."""

    status: int
    content_type: str
    body: bytes


def text(status: int, words: str) -> Page:
    """Plain words."""
    return Page(status, "text/plain; charset=utf-8", words.encode() + b"\n")


def as_json(body: str) -> Page:
    """JSON, as it was written."""
    return Page(200, "application/json", body.encode())


def serve(
    port: int,
    pages: Mapping[str, Callable[[], Page]],
    *,
    connections: int,
    connection_limit_s: float = CONNECTION_LIMIT_S,
) -> http.server.HTTPServer:
    """Serves the pages, by their paths, to so many clients at once, until it is shut down or the process ends.

    Raises OSError if the port is taken.
    """
    server = _Server(port, _handler(pages, connection_limit_s), connections, connection_limit_s)
    threading.Thread(target=server.serve_forever, name="pages", daemon=True).start()
    return server


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, port: int, handler: type[http.server.BaseHTTPRequestHandler], connections: int, connection_limit_s: float
    ) -> None:
        self._places = threading.BoundedSemaphore(connections)
        self._connection_limit_s = connection_limit_s
        # Where the kernel has IPv6 at all, such a socket serves a pod that has IPv4 addresses only, too.
        self.address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        super().__init__(("", port), handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's name, which may take a DNS server's time."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Closes new connections while all slots are in use."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """One connection, with an end whatever the client does."""
        assert isinstance(request, socket.socket)
        end = threading.Timer(self._connection_limit_s, _end, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error of ours."""
        del request
        _log.debug("connection of %s ended", client_address, exc_info=True)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)


def _handler(
    pages: Mapping[str, Callable[[], Page]], connection_limit_s: float
) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = connection_limit_s

        def do_GET(self) -> None:
            page = self._page()
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def _page(self) -> Page:
            if self.path not in pages:
                return text(404, f"there is {', '.join(pages)}")
            try:
                return pages[self.path]()
            except Exception:  # noqa: BLE001 - the client must get an answer, and the next one is served
                _log.exception("GET %s failed", self.path)
                return text(500, "the log has the cause")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Logs nothing: probes, scrapers and the operator send requests all the time."""

    return Handler
