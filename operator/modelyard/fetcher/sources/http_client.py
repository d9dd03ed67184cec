"""Reads from web servers: redirects, trust, proxy, resumed files and small documents, every failure named.

The credential goes to the server that it is for and to no other, wherever that redirects to. Nothing waits for ever:
each connection and each silence has an end, and so has each document.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.failure import FetchError, Reason, StreamBrokenError, WholeFileOnlyError
from modelyard.fetcher.transport.connection import ConnectionFailedError, Head
from modelyard.fetcher.transport.connection_errors import Server, explain_connection, explain_proxy
from modelyard.fetcher.transport.connection_pool import Answer, ConnectionPool
from modelyard.fetcher.transport.proxy import proxy_of
from modelyard.fetcher.transport.range_reader import ExactReader
from modelyard.fetcher.transport.ranges import begins_at, file_size, range_header

_DOCUMENT_LIMIT_S = 60
_DOCUMENT_BLOCK_BYTES = 256 * 1024
_NO_HEADERS: Mapping[str, str] = {}
_REDIRECTS = {301, 302, 303, 307, 308}
_REDIRECTS_LIMIT = 5


@dataclass(frozen=True)
class Refusal:
    """An answer that holds no content: status, headers (named in lower case), and the address without its query."""

    status: int
    headers: Mapping[str, str]
    address: str

    def said(self, header: str) -> str:
        """A header's text as it may stand in a message; empty where there is none."""
        return "".join(c for c in self.headers.get(header.lower(), "") if c.isprintable())[:200]


Explain = Callable[[Refusal], FetchError | None]
"""A source's own reading of a refusal; None leaves it to what the status means everywhere."""


class HttpClient:
    """GET requests of one source. Thread-safe."""

    def __init__(self, server: Server, authorization: str | None, ca_bundle: Path | None, explain: Explain) -> None:
        """``authorization`` is the header's value for ``server``; ``ca_bundle`` is trusted beside the image's own."""
        self._server = server
        self._authorization = authorization
        self._explain = explain
        trust = ssl.create_default_context()
        if ca_bundle:
            trust.load_verify_locations(ca_bundle)
        self._connections = ConnectionPool(lambda: trust)
        self._redirected_to: dict[str, str] = {}
        """Where the files' addresses led to: a redirect is followed once."""
        self._without_ranges: set[str] = set()

    def get(self, url: str, headers: Mapping[str, str] = _NO_HEADERS) -> Answer:
        """The answer to a GET, after all redirects: 200 or 206. To be closed by the caller.

        Raises FetchError for any other answer, and where none comes.
        """
        return self._follow(url, headers)[0]

    def read_one_byte(self, url: str) -> None:
        """Asks whether the file may be read. Raises FetchError where it may not."""
        try:
            with self.get(url, {"Range": range_header(0, 1)}) as answer:
                answer.document(1)
        except StreamBrokenError as error:
            raise explain_connection(str(error), self._at(url)) from error

    def document(self, url: str, limit_bytes: int) -> bytes:
        """A small document, whole. Raises FetchError, also when it is larger or slower than documents are."""
        end_s = time.monotonic() + _DOCUMENT_LIMIT_S
        document = b""
        try:
            with self.get(url) as answer:
                while block := answer.document(_DOCUMENT_BLOCK_BYTES):
                    document += block
                    if len(document) > limit_bytes or time.monotonic() > end_s:
                        raise FetchError(
                            Reason.SOURCE_ERROR,
                            f"{_address(url)} is longer than {limit_bytes} bytes or takes longer than "
                            f"{_DOCUMENT_LIMIT_S} s: correct {self._server.setting}",
                        )
        except StreamBrokenError as error:
            raise explain_connection(str(error), self._server) from error
        return document

    def open_range(self, url: str, file: RemoteFile, offset: int, length: int) -> ExactReader:
        """The file's bytes, as source.Source.open_range gives them."""
        try:
            answer = self._answer_from_where_it_led(url, {"Range": range_header(offset, length)})
        except FetchError as error:
            is_passing = error.reason is Reason.SOURCE_ERROR and offset > 0  # it gave the file's first bytes
            if is_passing or error.reason is Reason.ENDPOINT_UNREACHABLE:
                raise StreamBrokenError(error.message) from error
            raise
        try:
            return self._exactly(answer, url, file, offset, length)
        except BaseException:
            answer.close()
            raise

    def _exactly(self, answer: Answer, url: str, file: RemoteFile, offset: int, length: int) -> ExactReader:
        size_bytes = file_size(answer.head.headers, answer.head.status)
        if size_bytes not in {None, file.size_bytes}:
            raise FetchError(
                Reason.SOURCE_CHANGED,
                f"{file.key} has {size_bytes} bytes, and not the {file.size_bytes} that were listed: the fetch begins "
                "anew",
            )
        begin = begins_at(answer.head)
        is_other_range = answer.head.status == 206 and begin != offset
        if is_other_range or answer.head.headers.get("content-encoding", "identity") != "identity":
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"{_address(url)} was asked for plain bytes from {offset} on and sends others "
                f"({answer.head.status}, {answer.head.headers.get('content-range', 'compressed')}): correct that "
                "server's set-up",
            )
        if answer.head.status == 200 and length < file.size_bytes and url not in self._without_ranges:
            self._without_ranges.add(url)
            raise WholeFileOnlyError
        return ExactReader(answer, length, skip_bytes=offset if answer.head.status == 200 else 0)

    def _answer_from_where_it_led(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer from where the address led to before; from the address itself where that is refused now, since a
        signed address has an end.
        """
        known = self._redirected_to.get(url)
        if known:
            try:
                return self._follow(known, headers)[0]
            except FetchError as error:
                if error.reason is Reason.THROTTLED:
                    raise
                self._redirected_to.pop(url, None)
        answer, final = self._follow(url, headers)
        if final != url:
            self._redirected_to[url] = final
        return answer

    def _follow(self, url: str, headers: Mapping[str, str]) -> tuple[Answer, str]:
        """The answer, and the address that gave it."""
        for _ in range(_REDIRECTS_LIMIT + 1):
            answer = self._ask(url, headers)
            try:
                if answer.head.status in {200, 206}:
                    return answer, url
                url = self._redirected(url, answer.head)
            except BaseException:
                answer.close()
                raise
            answer.close()
        raise FetchError(
            Reason.SOURCE_ERROR, f"{self._server.name} redirects more than {_REDIRECTS_LIMIT} times: correct its set-up"
        )

    def _ask(self, url: str, headers: Mapping[str, str]) -> Answer:
        asked = {**headers, "User-Agent": "modelyard-fetch", "Accept-Encoding": "identity"}
        if self._authorization and _origin(url) == _origin(self._server.name):
            asked["Authorization"] = self._authorization
        try:
            return self._connections.ask("GET", url, asked)
        except ConnectionFailedError as error:
            raise explain_connection(str(error), self._at(url)) from error

    def _at(self, url: str) -> Server:
        return replace(self._server, name=_origin(url), proxy=proxy_of(url))

    def _redirected(self, url: str, head: Head) -> str:
        """Where an answer without content leads. Raises FetchError where it leads nowhere."""
        if head.status not in _REDIRECTS:
            refusal = Refusal(head.status, head.headers, _address(url))
            raise self._explain(refusal) or _explain(refusal, self._at(url))
        try:
            target = urljoin(url, head.headers.get("location", ""))
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
