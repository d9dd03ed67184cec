"""The fetcher's port: `GET /` answers its report."""

from http.server import HTTPServer

from modelyard.contract import page_server
from modelyard.fetcher.report.state import State

CONNECTIONS = 8
"""At once: the operator sends one request every few seconds."""

CONNECTION_LIMIT_S = 2.0


def serve(state: State, port: int) -> HTTPServer:
    """Serves the report on every address of the pod. Raises OSError when the port is taken."""
    return page_server.serve(
        port,
        {"/": lambda: _read(state)},
        connections=CONNECTIONS,
        connection_limit_s=CONNECTION_LIMIT_S,
    )


def _read(state: State) -> page_server.Page:
    state.note_read()
    return page_server.as_json(state.report().as_json())
