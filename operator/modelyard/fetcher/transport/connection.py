"""One HTTP/1.1 connection whose answers are read straight into the caller's memory.

Standard clients copy each byte several times and wake for each packet. Here a plain connection fills a whole block with
one system call (MSG_WAITALL); one with TLS decrypts into the block, a record at a time.
"""

import contextlib
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from modelyard.fetcher.transport.slowness import StallClock

CONNECT_LIMIT_S = 5.0

TICK_S = 2.0
"""What came is handed on at least so often, however little it is."""

_HEAD_LIMIT_BYTES = 64 * 1024
_LINE_BYTES = 16 * 1024
_ENDLESS = 1 << 62

_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_LENGTH = re.compile(r"[0-9a-fA-F]{1,15}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
"""18 digits hold any file's length, and Python parses no number with thousands of digits."""

_LOW_WATER_BYTES = 512 * 1024
"""The kernel wakes a reader for so many bytes and no fewer, rather than for each packet: half the processor's time of
receiving (measured over the loopback)."""

_LAST_BYTES = _LOW_WATER_BYTES + 64 * 1024
"""For the last bytes of an answer the mark is lowered: TLS may hold part of a record already, and waiting for a full
mark would hang."""

Trust = Callable[[], ssl.SSLContext]
"""The trusted authorities; loaded only for TLS, since reading them all takes 30 ms of processor time."""


class ConnectionFailedError(Exception):
    """No connection, or one that broke. The text is the system's, which connection_errors reads."""


class ConnectionClosedError(ConnectionFailedError):
    """The server refused or ended it, without an answer: a new one may do, or one when others are done with."""


@dataclass(frozen=True)
class Route:
    """Where a connection leads: scheme, host and port of a server, and the proxy in between (None: nothing)."""

    scheme: str
    host: str
    port: int
    proxy: str | None = None

    @classmethod
    def to(cls, url: str, proxy: str | None) -> Self:
        """Raises ConnectionFailedError if it is not a web server's URL."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise ConnectionFailedError(f"Failed to parse: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConnectionFailedError(f"not an address of a web server: {parts.scheme}://{parts.netloc}")
        return cls(parts.scheme, parts.hostname, port, proxy)


@dataclass(frozen=True)
class Head:
    """An answer's status and headers, these by their names in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def begins_at(self) -> int | None:
        """The offset in the file of the body's first byte; None if the answer does not state it."""
        if self.status == 200:
            return 0
        span = _CONTENT_RANGE.fullmatch(self.headers.get("content-range", ""))
        return int(span[1]) if span else None

    @property
    def file_size(self) -> int | None:
        """The whole file's size, in bytes; None if the answer does not state it."""
        if self.status == 200:
            length = self.headers.get("content-length", "")
            return int(length) if _LENGTH.fullmatch(length) else None
        span = _CONTENT_RANGE.fullmatch(self.headers.get("content-range", ""))
        return int(span[3]) if span and span[3] != "*" else None


def proxy_of(url: str) -> str | None:
    """The proxy for ``url``, from the pod's variables, read as boto3 reads them; None if the server is reached
    directly, or ``url`` is not a URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.hostname is None or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return getproxies().get(parts.scheme)


class HttpConnection:
    """A connection that is open, for one request after the other. One thread at a time, but for ``abort``."""

    def __init__(self, route: Route, trust: Trust) -> None:
        """Connects. Raises ConnectionFailedError."""
        self._route = route
        self._rest = bytearray()  # received and not yet read: what came in one piece with a head or a chunk's size
        self._left_bytes = 0  # of the body, or of its current chunk
        self._is_chunked = False
        self._ends_with_connection = False
        self._is_kept = True
        self._low_water_bytes = 1
        self._is_slow = False
        self._clock = StallClock()
        self._patience_s = self._clock.limit_s
        try:
            self._socket = self._connect(trust)
        except (OSError, ValueError) as error:
            raise _failed(error) from error
        self._has_tls = _speaks_tls(self._socket)

    def _connect(self, trust: Trust) -> socket.socket:
        route = self._route
        opened = _open(route, trust)
        try:
            if route.scheme == "https":
                if route.proxy:
                    self._tunnel(opened)
                opened = _with_tls(opened, trust, route.host)
            _tick(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def _tunnel(self, opened: socket.socket) -> None:
        target = f"{_bracketed(self._route.host)}:{self._route.port}"
        opened.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        received = bytearray()
        end_s = time.monotonic() + CONNECT_LIMIT_S
        while b"\r\n\r\n" not in received:
            data = opened.recv(1)  # what follows the head is the server's own TLS
            if not data or len(received) > _HEAD_LIMIT_BYTES or time.monotonic() > end_s:
                raise OSError("Tunnel connection failed: 502 the proxy gave no answer")
            received += data
        status = _parse_head(bytes(received)).status
        if status != 200:
            raise OSError(f"Tunnel connection failed: {status}")

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        clock: StallClock | None = None,
        patience_s: float | None = None,
    ) -> Head:
        """Sends a request and returns the answer's head. Raises ConnectionFailedError, also when ``clock`` has stood
        for ``patience_s`` (up to its limit without), before the head or in the body.

        ``headers`` holds Host only where it is not the URL's own. The body is read by ``readinto``.
        """
        self._clock = clock = clock or StallClock()
        self._patience_s = patience_s or clock.limit_s
        parts = urlsplit(url)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        is_passed_on = self._route.proxy and self._route.scheme == "http"
        target = f"http://{parts.netloc}{path}" if is_passed_on else path
        lines = [f"{method} {target} HTTP/1.1"]
        if "Host" not in headers:
            lines.append(f"Host: {parts.netloc.rpartition('@')[2]}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        try:
            self._socket.sendall("\r\n".join((*lines, "", "")).encode("latin-1"))
            head = self._read_head()
            while 100 <= head.status < 200:
                head = self._read_head()
            self._begin_body(method, head)
        except (OSError, ValueError) as error:
            raise _failed(error) from error
        self._patience_s = clock.patience_s
        return head

    def _read_head(self) -> Head:
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            if len(self._rest) > _HEAD_LIMIT_BYTES:
                raise OSError("the answer's head has no end")
            self._receive_more()
        head = _parse_head(bytes(self._rest[:end]))
        del self._rest[: end + 4]
        return head

    def _begin_body(self, method: str, head: Head) -> None:
        self._is_kept = head.headers.get("connection", "").lower() != "close"
        self._is_chunked = self._ends_with_connection = self._is_slow = False
        self._left_bytes = 0
        if method == "HEAD" or head.status in {204, 304}:
            return
        if "chunked" in head.headers.get("transfer-encoding", "").lower():
            self._is_chunked = True
            self._next_chunk()
            return
        length = head.headers.get("content-length")
        if length is None:
            self._ends_with_connection, self._is_kept, self._left_bytes = True, False, _ENDLESS
        elif not _LENGTH.fullmatch(length):
            raise OSError("the answer's Content-Length is no number, or is absurd")
        else:
            self._left_bytes = int(length)

    def readinto(self, target: memoryview) -> int:
        """Fills ``target`` with the body's next bytes and returns how many: fewer at the body's end, where the
        connection broke after them, and where they come slowly (TICK_S); 0 at the end. Raises ConnectionFailedError
        when it broke, or came on too slowly, before the first of them.
        """
        filled = 0
        end_s = time.monotonic() + TICK_S
        try:
            self._check_clock()
            while filled < len(target) and self._left_bytes:
                filled += self._receive_body(target[filled : filled + self._left_bytes], end_s)
                if time.monotonic() > end_s:
                    break
        except OSError as error:
            self._is_kept = False
            if not filled:
                raise _failed(error) from error
        return filled

    def _receive_body(self, target: memoryview, end_s: float) -> int:
        count = self._receive_into(target, end_s)
        self._clock.add(count)
        self._left_bytes -= count
        if not count:
            if not self._ends_with_connection:
                raise OSError("the connection ended early")
            self._left_bytes = 0
        elif self._is_chunked and not self._left_bytes:
            self._line()
            self._next_chunk()
        return count

    @property
    def can_be_kept(self) -> bool:
        """Whether another request may follow: the answer was read to its end."""
        return self._is_kept and not self._left_bytes

    def abort(self) -> None:
        """Ends it under the thread that reads from it."""
        below = getattr(self._socket, "socket", self._socket)  # SSLTransport's own
        with contextlib.suppress(OSError):
            # Not as SSLSocket does it: that one takes what is still to come as bytes that were never encrypted.
            socket.socket.shutdown(below, socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def _receive_into(self, target: memoryview, end_s: float) -> int:
        if self._rest:
            count = min(len(target), len(self._rest))
            target[:count] = self._rest[:count]
            del self._rest[:count]
            return count
        while True:
            before_last_bytes = self._left_bytes - _LAST_BYTES
            if before_last_bytes > 0 and not self._is_slow:
                self._wake_for(_LOW_WATER_BYTES)
                target = target[:before_last_bytes]
            else:
                self._wake_for(1)
            try:
                if self._has_tls:
                    return self._decrypt_into(target, end_s)
                return self._socket.recv_into(target, 0, socket.MSG_WAITALL)
            except (BlockingIOError, TimeoutError):
                self._is_slow = True  # fewer bytes may wait in the kernel than it wakes for
                self._check_clock()

    def _check_clock(self) -> None:
        if self._clock.stalled_s >= self._patience_s:
            raise TimeoutError(self._clock.problem)

    def _wake_for(self, low_water_bytes: int) -> None:
        if low_water_bytes != self._low_water_bytes:
            self._low_water_bytes = low_water_bytes
            with contextlib.suppress(OSError):  # a sandbox's kernel may lack the option, and works without it
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low_water_bytes)

    def _decrypt_into(self, target: memoryview, end_s: float) -> int:
        """A record of 16 KiB at a time, until the target is full or ``end_s`` has come."""
        receive, wanted, filled = self._socket.recv_into, len(target), 0
        try:
            while filled < wanted:
                count = receive(target[filled:])
                if not count:
                    break
                filled += count
                if time.monotonic() > end_s:
                    break
        except OSError:
            if not filled:
                raise
        return filled

    def _receive_more(self) -> None:
        data = None
        while data is None:
            with contextlib.suppress(BlockingIOError, TimeoutError):
                data = self._socket.recv(_LINE_BYTES)
            self._check_clock()
        if not data:
            raise ConnectionResetError("the connection was closed without an answer")
        self._rest += data

    def _next_chunk(self) -> None:
        """Reads a chunk's size (RFC 9112, section 7.1); after the last one, of size 0, what follows up to the end."""
        size = self._line().partition(b";")[0].strip().decode("latin-1")
        if not _CHUNK_LENGTH.fullmatch(size):
            raise OSError("the answer has chunks of no size")
        self._left_bytes = int(size, 16)
        if not self._left_bytes:
            while self._line():
                pass

    def _line(self) -> bytes:
        while (end := self._rest.find(b"\r\n")) < 0:
            if len(self._rest) > _HEAD_LIMIT_BYTES:
                raise OSError("a line of the answer has no end")
            self._receive_more()
        line = bytes(self._rest[:end])
        del self._rest[: end + 2]
        return line


def _open(route: Route, trust: Trust) -> socket.socket:
    """A connection to the server, or to its proxy. Raises OSError."""
    near = route
    try:
        if route.proxy:
            near = Route.to(route.proxy if "://" in route.proxy else f"http://{route.proxy}", None)
        opened = socket.create_connection((near.host, near.port), CONNECT_LIMIT_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _with_tls(opened, trust, near.host) if route.proxy and near.scheme == "https" else opened
    except (OSError, ConnectionFailedError) as error:
        problem = f"Failed to resolve {near.host}: {error}" if isinstance(error, socket.gaierror) else str(error)
        kind = ConnectionRefusedError if isinstance(error, ConnectionError) else OSError
        raise kind(f"Unable to connect to proxy: {problem}" if route.proxy else problem) from error


def _with_tls(opened: socket.socket, trust: Trust, host: str) -> socket.socket:
    """TLS over a connection, also over one that has TLS to a proxy already. Raises OSError, and closes it then."""
    try:
        if isinstance(opened, ssl.SSLSocket):
            from urllib3.util.ssltransport import SSLTransport  # noqa: PLC0415 - for proxies with TLS only

            inner: socket.socket = SSLTransport(opened, trust(), host)  # type: ignore[assignment] # has its methods
            return inner
        return trust().wrap_socket(opened, server_hostname=host)
    except BaseException:
        opened.close()
        raise


def _tick(opened: socket.socket) -> None:
    """Has each call that waits end after TICK_S."""
    if _speaks_tls(opened):
        opened.settimeout(TICK_S)
        return
    # A limit of Python's own makes the socket non-blocking, where MSG_WAITALL means nothing: so the kernel's.
    opened.settimeout(None)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(TICK_S))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(CONNECT_LIMIT_S))


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))


def _speaks_tls(opened: socket.socket) -> bool:
    return type(opened) is not socket.socket  # ssl's and urllib3's have a class of their own


def _parse_head(head: bytes) -> Head:
    """Raises OSError for a malformed head of an HTTP answer."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdecimal():
        raise OSError("the answer is not HTTP/1.1")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if version == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return Head(int(status[:3]), headers)


def _failed(error: OSError | ValueError) -> ConnectionFailedError:
    """The error of a connection, by whether the server ended it."""
    # The kernel's limit comes as a call that would block.
    text = "timed out" if isinstance(error, BlockingIOError) else str(error) or type(error).__name__
    return ConnectionClosedError(text) if isinstance(error, ConnectionError) else ConnectionFailedError(text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
