"""Reads from web servers: redirects, trust, proxy, resumed files and small documents, every failure named.

The credential goes to the server that it is for and to no other, wherever that redirects to. Nothing waits for ever:
each connection and each silence has an end, and so has each document.
"""

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.response import BaseHTTPResponse

from modelyard.fetcher.connection_errors import Server, explain_connection, explain_proxy
from modelyard.fetcher.failure import FetchError, Reason, StreamBrokenError
from modelyard.fetcher.manifest import RemoteFile
from modelyard.fetcher.proxy import proxies, proxy_of
from modelyard.fetcher.source import BLOCK_BYTES

_TIMEOUT = urllib3.Timeout(connect=5, read=20)
"""Seconds until a connection is made, and without one byte."""

_DOCUMENT_LIMIT_S = 60
_CONNECTIONS = 4
_REDIRECTS = {301, 302, 303, 307, 308}
_REDIRECTS_LIMIT = 5


@dataclass(frozen=True)
class Refusal:
    """An answer that holds no content: its status, its headers, and the address that gave it, without its query."""

    status: int
    headers: Mapping[str, str]
    address: str

    def said(self, header: str) -> str:
        """A header's text as it may stand in a message; empty where there is none."""
        return "".join(c for c in self.headers.get(header, "") if c.isprintable())[:200]


Explain = Callable[[Refusal], FetchError | None]
"""A source's own reading of a refusal; None leaves it to what the status means everywhere."""


class HttpClient:
    """GET requests of one source. Thread-safe."""

    def __init__(self, server: Server, authorization: str | None, ca_bundle: Path | None, explain: Explain) -> None:
        """``authorization`` is the header's value for ``server``; ``ca_bundle`` is trusted beside the image's own."""
        self._server = server
        self._authorization = authorization
        self._explain = explain
        self._trust = ssl.create_default_context()
        if ca_bundle:
            self._trust.load_verify_locations(ca_bundle)
        self._pools: dict[str | None, urllib3.PoolManager] = {proxy: self._pool(proxy) for proxy in (None, *proxies())}

    def _pool(self, proxy: str | None) -> urllib3.PoolManager:
        if proxy is None:
            return urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=self._trust)
        return urllib3.ProxyManager(proxy, maxsize=_CONNECTIONS, ssl_context=self._trust, proxy_ssl_context=self._trust)

    @contextlib.contextmanager
    def get(self, url: str, offset: int = 0) -> Iterator[BaseHTTPResponse]:
        """The answer to a GET from ``offset`` on: 206, or 200 with the whole from a server that knows no ranges.

        Raises FetchError for any other answer, and where none comes.
        """
        for _ in range(_REDIRECTS_LIMIT + 1):
            answer = self._request(url, offset)
            with contextlib.closing(answer):
                if answer.status in _REDIRECTS:
                    url = self._redirected(url, answer)
                    continue
                self._check(answer, url, offset)
                yield answer
                return
        raise FetchError(
            Reason.SOURCE_ERROR, f"{self._server.name} redirects more than {_REDIRECTS_LIMIT} times: correct its set-up"
        )

    def document(self, url: str, limit_bytes: int) -> bytes:
        """A small document, whole. Raises FetchError, also when it is larger or slower than documents are."""
        end_s = time.monotonic() + _DOCUMENT_LIMIT_S
        document = b""
        try:
            with self.get(url) as answer:
                for block in answer.stream(BLOCK_BYTES, decode_content=False):
                    document += block
                    if len(document) > limit_bytes or time.monotonic() > end_s:
                        raise FetchError(
                            Reason.SOURCE_ERROR,
                            f"{_address(url)} is longer than {limit_bytes} bytes or takes longer than "
                            f"{_DOCUMENT_LIMIT_S} s: correct {self._server.setting}",
                        )
        except HTTPError as error:
            raise explain_connection(str(error), self._server) from error
        return document

    def blocks(self, url: str, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """The file's bytes from ``offset`` on, as source.Source.read gives them."""
        try:
            with self.get(url, offset) as answer:
                yield from _exactly(answer, file, offset)
        except FetchError as error:
            is_passing = error.reason is Reason.SOURCE_ERROR and offset > 0  # it gave the file's first bytes
            if is_passing or error.reason is Reason.ENDPOINT_UNREACHABLE:
                raise StreamBrokenError(error.message) from error
            raise
        except (HTTPError, OSError) as error:
            raise StreamBrokenError(str(error)) from error

    def _request(self, url: str, offset: int) -> BaseHTTPResponse:
        headers = {"User-Agent": "modelyard-fetch", "Accept-Encoding": "identity"}
        if self._authorization and _origin(url) == _origin(self._server.name):
            headers["Authorization"] = self._authorization
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            try:
                return self._ask(url, headers)
            except ProtocolError as error:
                if not isinstance(error.args[-1], ConnectionError):
                    raise
                return self._ask(url, headers)  # a kept connection may have been closed by the server meanwhile
        except HTTPError as error:
            raise explain_connection(str(error), self._at(url)) from error

    def _ask(self, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        return self._pools[proxy_of(url)].request(
            "GET", url, headers=headers, timeout=_TIMEOUT, retries=False, redirect=False, preload_content=False
        )

    def _at(self, url: str) -> Server:
        return replace(self._server, name=_origin(url), proxy=proxy_of(url))

    def _redirected(self, url: str, answer: BaseHTTPResponse) -> str:
        try:
            target = urljoin(url, answer.headers.get("Location", ""))
            scheme = urlsplit(target).scheme
        except ValueError as error:
            raise FetchError(
                Reason.SOURCE_ERROR, f"{_address(url)} redirects to what is no address ({error}): correct its set-up"
            ) from error
        if scheme != "https" and not (scheme == "http" and url.startswith("http://")):
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"{_address(url)} redirects to {_origin(target)}, which is not https: anybody on the way could change "
                "the model",
            )
        return target

    def _check(self, answer: BaseHTTPResponse, url: str, offset: int) -> None:
        if answer.status not in {200, 206}:
            refusal = Refusal(answer.status, answer.headers, _address(url))
            raise self._explain(refusal) or _explain(refusal, self._at(url))
        begins = answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
        if encoded or (answer.status == 206 and not begins):
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"{_address(url)} was asked for plain bytes from {offset} on and sends others "
                f"({answer.status}, {'compressed' if encoded else 'another range'}): correct that server's set-up",
            )


def _exactly(answer: BaseHTTPResponse, file: RemoteFile, offset: int) -> Iterator[bytes]:
    """What the file lacks and no byte more: a server that sends on could fill the disk."""
    to_skip = offset if answer.status == 200 else 0
    left = file.size_bytes - offset
    for block in answer.stream(BLOCK_BYTES, decode_content=False):
        fresh = block[to_skip:]
        to_skip -= len(block) - len(fresh)
        if len(fresh) > left:
            raise FetchError(
                Reason.SOURCE_CHANGED,
                f"{file.key} is larger than the {file.size_bytes} bytes that were listed: the fetch begins anew",
            )
        left -= len(fresh)
        if fresh:
            yield fresh


def _explain(refusal: Refusal, server: Server) -> FetchError:
    """What a status means, whoever answers."""
    match refusal.status:
        case 407:
            return explain_proxy(407, server)
        case 412 | 416:
            return FetchError(
                Reason.SOURCE_CHANGED, f"{refusal.address} changed while it was fetched: the fetch begins anew"
            )
        case 429 | 503:
            return FetchError(
                Reason.THROTTLED,
                f"{server.name} asks for fewer requests ({refusal.status}): the fetch goes on by itself; if it "
                "stays, start fewer replicas at once, or raise the server's limits",
            )
        case _:
            return FetchError(
                Reason.SOURCE_ERROR,
                f"{refusal.address} answers {refusal.status}: look at that server's own log, and at {server.setting}",
            )


def _origin(url: str) -> str:
    """Scheme, host and port; of what is no URL all but the query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0]
    return f"{parts.scheme}://{parts.netloc}"


def _address(url: str) -> str:
    """The URL without its query, which may carry a signature."""
    return f"{_origin(url)}{urlsplit(url).path}"
