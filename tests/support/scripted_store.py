"""An S3 server on the loopback that a test has answer as stores do that are not quite S3.

It gives the right answer to every request, and a test's ``script`` changes that on its way out. Signatures are not
checked: tests/support/object_store.py is the server that does.
"""

import hashlib
import http.server
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Thread
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "models"


@dataclass(frozen=True)
class Request:
    """``key`` is empty for the listing; header names are in lower case."""

    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def is_listing(self) -> bool:
        return not self.key


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_headers(self, **changed: str | None) -> "Response":
        """With these headers ("ETag", "Content_Length"), and without those that are None."""
        named = {name.replace("_", "-"): value for name, value in changed.items()}
        merged = {**self.headers, **named}
        return replace(self, headers={name: value for name, value in merged.items() if value is not None})

    def with_text(self, old: str, new: str) -> "Response":
        """With another text in its body, which must be there."""
        assert re.search(old, self.body.decode()), (old, self.body)
        return replace(self, body=re.sub(old, new, self.body.decode()).encode())


def error(status: int, code: str, **fields: str) -> Response:
    """An error as S3 writes it."""
    more = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return Response(status, {}, f"<Error><Code>{code}</Code><Message>no</Message>{more}</Error>".encode())


Script = Callable[[Request, Response], Response]


class ScriptedStore(http.server.ThreadingHTTPServer):
    """``objects`` are the bucket's, by key; ``headers`` are more of each object's."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.script: Script = lambda _, response: response
        self.page_size = 1000
        self.requests: list[Request] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def times_requested(self, method: str, key: str) -> int:
        """How often this was requested."""
        return sum(request.method == method and request.key == key for request in self.requests)

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        return self.script(request, self._list(request) if request.is_listing else self._give(request))

    def handle_error(self, request: object, client_address: object) -> None:
        """Prints nothing: tests make clients that go in the middle."""

    def _list(self, request: Request) -> Response:
        prefix, token = request.query.get("prefix", ""), request.query.get("continuation-token", "")
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > token)
        page = keys[: min(self.page_size, int(request.query.get("max-keys", "1000")))]
        is_truncated = len(page) < len(keys)
        next_token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if is_truncated else ""
        body = (
            f"<?xml version='1.0' encoding='UTF-8'?><ListBucketResult><IsTruncated>{str(is_truncated).lower()}"
            f"</IsTruncated>{next_token}<KeyCount>{len(page)}</KeyCount><EncodingType>url</EncodingType>"
            + "".join(map(self._line, page))
            + "</ListBucketResult>"
        )
        return Response(200, {"Content-Type": "application/xml"}, body.encode())

    def _line(self, key: str) -> str:
        return (
            f"<Contents><Key>{quote_plus(key, safe='/')}</Key><LastModified>2026-11-30T12:00:00.000Z</LastModified>"
            f"<ETag>{escape(self._etag(key))}</ETag><Size>{len(self.objects[key])}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )

    def _etag(self, key: str) -> str:
        return self.headers.get(key, {}).get("ETag", f'"{hashlib.md5(self.objects[key]).hexdigest()}"')

    def _give(self, request: Request) -> Response:
        if "attributes" in request.query:
            return error(501, "NotImplemented")
        content = self.objects.get(request.key)
        if content is None:
            return error(404, "NoSuchKey")
        if request.headers.get("if-match", self._etag(request.key)) != self._etag(request.key):
            return error(412, "PreconditionFailed")
        headers = {"ETag": self._etag(request.key), **self.headers.get(request.key, {})}
        range_ = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if not range_:
            return Response(200, headers, content)
        begin, end = int(range_[1]), min(int(range_[2]), len(content) - 1)
        headers["Content-Range"] = f"bytes {begin}-{end}/{len(content)}"
        return Response(206, headers, content[begin : end + 1])


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedStore

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        assert bucket == BUCKET, self.path
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        response = self.server.answer(Request(self.command, key, query, headers))
        self.send_response(response.status)
        for name, value in {"Content-Length": str(len(response.body)), **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_HEAD = do_GET  # noqa: N815 - the name of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@contextmanager
def scripted_store() -> Iterator[ScriptedStore]:
    """The server, until the context's end."""
    store = ScriptedStore()
    thread = Thread(target=store.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield store
    finally:
        store.shutdown()
        thread.join()
        with suppress(OSError):
            store.server_close()
