"""The agent's port: /healthz, /readyz, /metrics and /cache. Any pod may call it, so each connection has an end."""

import http.server
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

CONNECTION_LIMIT_S = 5.0
CONNECTIONS = 32

_log = logging.getLogger("modelyard.node")


@dataclass(frozen=True)
class Page:
    """What is answered."""

    status: int
    content_type: str
    body: bytes


def text(status: int, words: str) -> Page:
    """Plain words."""
    return Page(status, "text/plain; charset=utf-8", words.encode() + b"\n")


def as_json(value: Any) -> Page:
    """A value as JSON."""
    return Page(200, "application/json", json.dumps(value).encode())


def serve(port: int, pages: Mapping[str, Callable[[], Page]]) -> http.server.HTTPServer:
    """Serves the pages, by their paths, on every address of the pod until shut down. Raises OSError: port taken."""
    server = _Server(("", port), _handler(pages))
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._places = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Hangs up on whoever comes when all places are taken."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """One connection, with an end whatever the client does."""
        assert isinstance(request, socket.socket)
        end = threading.Timer(CONNECTION_LIMIT_S, _end, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are nobody's error."""
        del request
        _log.debug("connection of %s ended", client_address, exc_info=True)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it ended by itself


def _handler(pages: Mapping[str, Callable[[], Page]]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = CONNECTION_LIMIT_S

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
            except Exception:  # noqa: BLE001 - the caller must hear something, and the next one is served
                _log.exception("GET %s failed", self.path)
                return text(500, "the log has the cause")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Says nothing: probes and scrapers ask all the time."""

    return Handler
