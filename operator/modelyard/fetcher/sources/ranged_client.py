"""Reads from servers: files in ranges, small documents, redirects, trust and proxy, every failure named.

One client for S3, hubs and web servers: what differs is a Dialect. Nothing waits for ever: each connection and each
silence has an end, and so has each document.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from modelyard.contract.fetch_report import Reason
from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.failure import FetchError, StreamBrokenError, WholeFileOnlyError
from modelyard.fetcher.transport.connection import ConnectionFailedError, Head, Trust, proxy_of
from modelyard.fetcher.transport.connection_errors import Server, explain_connection, explain_proxy
from modelyard.fetcher.transport.connection_pool import Answer, ConnectionPool
from modelyard.fetcher.transport.slowness import StallClock

_REFUSAL_LIMIT_BYTES = 64 * 1024
_NO_HEADERS: Mapping[str, str] = {}
_REDIRECTS = {301, 302, 303, 307, 308}
_REDIRECTS_LIMIT = 5
_DEFAULT_PORTS = {"http": 80, "https": 443}

PASSING = {408, 500, 502, 504}
"""Servers answer with these now and then: the same request is answered the next time."""

_THREADS = 16
"""For requests that take a round trip each and hardly any time of the processor."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Refusal:
    """An answer without the file's content: status, headers (names in lower case), and the beginning of its body.

    ``requested`` is the address as the source gave it, ``address`` the URL that answered, without its query.
    """

    status: int
    headers: Mapping[str, str]
    requested: str
    address: str
    body: bytes

    def header(self, name: str) -> str:
        """A header's text as it may stand in a message; empty if there is none."""
        return "".join(c for c in self.headers.get(name.lower(), "") if c.isprintable())[:200]


class RefusedError(FetchError):
    """A refusal, explained; ``status`` is the HTTP answer's."""

    def __init__(self, explained: FetchError, status: int) -> None:
        super().__init__(explained.reason, explained.message)
        self.status = status


Sign = Callable[[str, str, Mapping[str, str]], tuple[str, dict[str, str]]]
"""Method, address and headers of a request; returns its URL and headers with the credentials. Raises FetchError."""

Explain = Callable[[Refusal], FetchError | None]
"""A source's own reading of a refusal; None leaves it to what the status means everywhere."""


@dataclass(frozen=True)
class Dialect:
    """What is special about one kind of server."""

    server: Server
    sign: Sign
    explain: Explain
    follows_redirects: bool = True


def web_dialect(server: Server, authorization: str | None, explain: Explain) -> Dialect:
    """Addresses are URLs. ``authorization`` goes to ``server`` and to no other, wherever that redirects to."""

    def sign(_: str, url: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        signed = {**headers, "User-Agent": "modelyard-fetch", "Accept-Encoding": "identity"}
        if authorization and origin(url) == origin(server.name):
            signed["Authorization"] = authorization
        return url, signed

    return Dialect(server, sign, explain)


def web_trust(ca_bundle: Path | None) -> Trust:
    """The image's own authorities, and beside them those of the bundle."""
    trust = ssl.create_default_context()
    if ca_bundle:
        trust.load_verify_locations(ca_bundle)
    return lambda: trust


def concurrently(ask: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The same small request for many files: the results, in the order of the items.

    Raises the first error; no request begins after it, and those under way have ended.
    """
    with ThreadPoolExecutor(_THREADS, "ask") as threads:
        futures = [threads.submit(ask, item) for item in items]
        wait(futures, return_when=FIRST_EXCEPTION)
        threads.shutdown(wait=False, cancel_futures=True)
    return [future.result() for future in futures]  # those that were cancelled come after the one that failed


class RangedClient:
    """Requests of one source. Thread-safe. Addresses are the dialect's: URLs, or what it makes URLs of."""

    def __init__(self, dialect: Dialect, trust: Trust) -> None:
        self._dialect = dialect
        self._server = dialect.server
        self._connections = ConnectionPool(trust)
        self._redirected_to: dict[str, str] = {}
        """Where the files' addresses led to: a redirect is followed once."""
        self._without_ranges: set[str] = set()

    def get(self, address: str, headers: Mapping[str, str] = _NO_HEADERS, clock: StallClock | None = None) -> Answer:
        """The answer to a GET, after all redirects: 200 or 206. To be closed by the caller.

        Raises RefusedError for any other answer, FetchError where none comes.
        """
        return self._follow(address, headers, clock)[0]

    def head(self, address: str, headers: Mapping[str, str], clock: StallClock | None = None) -> Head:
        """The answer to a HEAD, whatever its status: a refusal has no body to explain it.

        Raises FetchError if no answer comes.
        """
        answer, _ = self._ask("HEAD", address, headers, clock)
        with answer:
            return answer.head

    def read_one_byte(
        self, address: str, headers: Mapping[str, str] = _NO_HEADERS, clock: StallClock | None = None
    ) -> None:
        """Checks read access to the file. Raises FetchError if it is denied."""
        self._read(address, {**headers, **_range(0, 1)}, 1, clock)

    def stamp(self, address: str, headers: Mapping[str, str] = _NO_HEADERS) -> str:
        """The file's ETag and date, as source.Source.stamp gives them."""
        with self.get(address, {**headers, **_range(0, 1)}) as answer:
            shown = [answer.head.headers.get(name, "") for name in ("etag", "last-modified")]
        return " ".join(shown).strip()

    def document(
        self,
        address: str,
        limit_bytes: int,
        headers: Mapping[str, str] = _NO_HEADERS,
        clock: StallClock | None = None,
    ) -> bytes:
        """A small document, whole. Raises FetchError, also when it is larger or slower than documents are."""
        document = self._read(address, headers, limit_bytes + 1, clock)
        if len(document) > limit_bytes:
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"a response of {self._server.name} exceeds {limit_bytes} bytes: correct {self._server.setting}",
            )
        return document

    def _read(
        self, address: str, headers: Mapping[str, str], limit_bytes: int, clock: StallClock | None = None
    ) -> bytes:
        """The first bytes of an answer. Retries once if the answer breaks or is too slow."""
        clock = clock or StallClock()
        for is_last in (False, True):
            try:
                with self.get(address, headers, clock) as answer:
                    return answer.document(limit_bytes)
            except StreamBrokenError as error:
                if is_last or clock.is_over:
                    raise explain_connection(str(error), self._at(address)) from error
        raise AssertionError("the last try returns or raises")

    def open_range(
        self,
        address: str,
        file: RemoteFile,
        offset: int,
        length: int,
        *,
        clock: StallClock,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Answer:
        """The file's bytes, as source.Source.open_range gives them."""
        all_headers = {**headers, **_range(offset, length)}
        try:
            answer = self._answer_from_where_it_led(address, all_headers, clock)
        except RefusedError as error:
            if error.status in PASSING:
                raise StreamBrokenError(error.message, error) from error
            raise
        except FetchError as error:
            if error.reason is Reason.ENDPOINT_UNREACHABLE:
                raise StreamBrokenError(error.message) from error
            raise
        try:
            self._limit(answer, address, file, offset, length)
        except BaseException:
            answer.close()
            raise
        return answer

    def _limit(self, answer: Answer, address: str, file: RemoteFile, offset: int, length: int) -> None:
        """Restricts the answer to the requested bytes. Raises FetchError or WholeFileOnlyError if it holds others."""
        head = answer.head
        size_bytes = head.file_size
        if size_bytes not in {None, file.size_bytes}:
            raise FetchError(
                Reason.SOURCE_CHANGED,
                f"{file.key} has {size_bytes} bytes, not the {file.size_bytes} that were listed: the fetch restarts. "
                "Upload a model under a new name rather than over one in use",
            )
        is_other_range = head.status == 206 and head.begins_at != offset
        if is_other_range or head.headers.get("content-encoding", "identity") != "identity":
            raise FetchError(
                Reason.SOURCE_ERROR,
                f"{self._server.name} did not return the plain bytes of {file.key} from {offset} on "
                f"({head.status}, {head.headers.get('content-range', 'compressed')}): fix that server's configuration",
            )
        if head.status == 200 and length < file.size_bytes and address not in self._without_ranges:
            self._without_ranges.add(address)
            raise WholeFileOnlyError
        answer.limit_to(length, skip_bytes=offset if head.status == 200 else 0)

    def _answer_from_where_it_led(self, address: str, headers: Mapping[str, str], clock: StallClock) -> Answer:
        """The answer from where the address led to before; from the address itself where that is refused now, since a
        signed address has an end.
        """
        known = self._redirected_to.get(address)
        if known:
            try:
                return self._follow(known, headers, clock)[0]
            except FetchError as error:
                if error.reason is Reason.THROTTLED:
                    raise
                self._redirected_to.pop(address, None)
        answer, final = self._follow(address, headers, clock)
        if final != address:
            self._redirected_to[address] = final
        return answer

    def _follow(self, address: str, headers: Mapping[str, str], clock: StallClock | None) -> tuple[Answer, str]:
        """The answer, and the address that gave it."""
        for _ in range(_REDIRECTS_LIMIT + 1):
            answer, url = self._ask("GET", address, headers, clock)
            if answer.head.status in {200, 206}:
                return answer, address
            with answer:
                if answer.head.status not in _REDIRECTS or not self._dialect.follows_redirects:
                    raise self._refused(answer, address, url)
                address = _redirected(url, answer.head)
        raise FetchError(
            Reason.SOURCE_ERROR,
            f"{self._server.name} redirects over {_REDIRECTS_LIMIT} times: fix its configuration",
        )

    def _ask(
        self, method: str, address: str, headers: Mapping[str, str], clock: StallClock | None
    ) -> tuple[Answer, str]:
        """The answer, and the URL that gave it."""
        url, signed = self._dialect.sign(method, address, headers)
        try:
            return self._connections.ask(method, url, signed, clock), url
        except ConnectionFailedError as error:
            raise explain_connection(str(error), self._at(url)) from error

    def _at(self, url: str) -> Server:
        return replace(self._server, name=origin(url), proxy=proxy_of(url)) if "://" in url else self._server

    def _refused(self, answer: Answer, address: str, url: str) -> RefusedError:
        try:
            body = answer.document(_REFUSAL_LIMIT_BYTES)
        except StreamBrokenError:
            body = b""
        refusal = Refusal(answer.head.status, answer.head.headers, address, address_without_query(url), body)
        return RefusedError(self._dialect.explain(refusal) or _explain(refusal, self._at(url)), refusal.status)


def _range(offset: int, length: int) -> dict[str, str]:
    """RFC 9110, section 14.1.2."""
    return {"Range": f"bytes={offset}-{offset + length - 1}"}


def _redirected(url: str, head: Head) -> str:
    """Where a redirect leads. Raises FetchError if it leads nowhere."""
    location = head.headers.get("location", "")
    if not location:
        raise FetchError(
            Reason.SOURCE_ERROR,
            f"{address_without_query(url)} redirects ({head.status}) without a Location: correct its configuration",
        )
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise FetchError(
            Reason.SOURCE_ERROR,
            f"{address_without_query(url)} redirects to an invalid URL ({error}): fix its configuration",
        ) from error
    if scheme != "https" and not (scheme == "http" and url.startswith("http://")):
        raise FetchError(
            Reason.SOURCE_ERROR,
            f"{address_without_query(url)} redirects to {origin(target)}, which is not https: the model could be "
            "altered in transit",
        )
    return target


def _explain(refusal: Refusal, server: Server) -> FetchError:
    """The error for a status, whatever the server."""
    match refusal.status:
        case 407:
            return explain_proxy(407, server)
        case 412 | 416:
            return FetchError(Reason.SOURCE_CHANGED, f"{refusal.address} changed during the fetch: the fetch restarts")
        case 429 | 503:
            return FetchError(
                Reason.THROTTLED,
                f"{server.name} limits the rate of requests ({refusal.status}): the fetch continues. If this "
                "persists, start fewer replicas at once, or raise the server's limits",
            )
        case _:
            return FetchError(
                Reason.SOURCE_ERROR,
                f"{refusal.address} returned {refusal.status}: check that server's log, and {server.setting}",
            )


def origin(url: str) -> str:
    """Scheme, host and port, as each is written best: two addresses of one server have one origin. Of what is no URL,
    all but the query.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url.partition("?")[0]
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{port}")


def address_without_query(url: str) -> str:
    """The URL without its query, which may carry a signature, and without a user."""
    try:
        return f"{origin(url)}{urlsplit(url).path}"
    except ValueError:
        return origin(url)
