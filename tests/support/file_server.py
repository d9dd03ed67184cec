"""An HTTP server on the loopback that gives files, whole and in ranges."""

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import unquote


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as ``FileServer.answer`` decides."""

    protocol_version = "HTTP/1.1"
    server: "FileServer"

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.answer(self)

    def send(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, content: bytes) -> None:
        """All of it, or the request's range, with the ETag that servers give."""
        etag = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        range_ = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not range_ or not self.server.knows_ranges:
            self.send(200, content, etag)
            return
        begin = int(range_[1])
        if begin >= len(content):
            self.send(416, headers={"Content-Range": f"bytes */{len(content)}"})
            return
        end = min(int(range_[2] or len(content)), len(content) - 1)
        self.send(206, content[begin : end + 1], etag | {"Content-Range": f"bytes {begin}-{end}/{len(content)}"})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


class FileServer(http.server.ThreadingHTTPServer):
    """Files by their path; each may be changed at any time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        """Paths that are answered by a bare status."""
        self.required_authorization = ""
        self.knows_ranges = True
        self.requests: list[str] = []
        self.authorizations: list[tuple[str, str]] = []
        """Host and Authorization of each request that had one."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Prints nothing: tests make clients that go in the middle."""

    def answer(self, handler: Handler) -> None:
        path = unquote(handler.path.partition("?")[0])
        given = handler.headers.get("Authorization", "")
        if given:
            self.authorizations.append((handler.headers["Host"], given))
        if path in self.redirects:
            handler.send(302, headers={"Location": self.redirects[path]})
        elif path in self.statuses:
            handler.send(self.statuses[path])
        elif self.required_authorization not in {"", given}:
            handler.send(401)
        elif path in self.files:
            handler.send_file(self.files[path])
        else:
            handler.send(404)


@contextmanager
def running(server: FileServer) -> Iterator[None]:
    """Serves until the context's end."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        with suppress(OSError):
            server.server_close()
