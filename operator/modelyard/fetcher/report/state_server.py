"""The state's port: `GET /` answers the state as JSON. One connection at a time, each with an end."""

import contextlib
import http.server
import socket
import threading

from modelyard.fetcher.report.state import State

CONNECTION_LIMIT_S = 2.0
"""How long one client may hold the port, however slowly it speaks: any pod in the cluster can call it."""


def serve(state: State, port: int) -> http.server.HTTPServer:
    """Serves the state on every address of the pod, on a thread that ends with the process (or the server's shutdown).

    Raises OSError when the port is taken.
    """
    server = http.server.HTTPServer(("", port), _handler(state))
    threading.Thread(target=server.serve_forever, name="state-server", daemon=True).start()
    return server


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client has gone already
        connection.shutdown(socket.SHUT_RDWR)


def _handler(state: State) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = CONNECTION_LIMIT_S

        def setup(self) -> None:
            super().setup()
            self._limit = threading.Timer(CONNECTION_LIMIT_S, _end, [self.connection])
            self._limit.daemon = True
            self._limit.start()

        def finish(self) -> None:
            self._limit.cancel()
            with contextlib.suppress(OSError):  # what was not yet sent has nobody to go to
                super().finish()

        def do_GET(self) -> None:
            if self.path != "/":
                self.send_error(404)
                return
            body = state.report().as_json().encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Says nothing: the operator asks every few seconds."""

    return Handler
