"""HTTP requests to pods, which belong to tenants: a pod's answer, or its silence, affects no other service.

One answer is bounded in size and time, and no reconcile waits for a pod that is slow or silent: see Reader.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import aiohttp

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

TIME_LIMIT_S = 2.0
"""Longest time for one answer, from the connection's start to its last byte."""

CONNECT_S = 1.5
"""Longest time for a connection: one inside the cluster takes milliseconds, or a second if its first packet is lost."""

WAIT_S = 0.2
"""How long a reconcile waits for a pod that answered last time; one inside the cluster takes some milliseconds."""

SHORT_WAIT_S = 0.02
"""How long it waits for a pod that did not: 500 such services take 16 workers less than a second in all."""

KEPT_S = 60.0
"""How long an answer that is no longer read is kept: longer than the time between two looks at a starting pod."""

CONNECTIONS_LIMIT = 512
"""Requests in flight at once: below the 1024 files that a process may usually have open."""

IDLE_S = 15.0
"""How long a connection is kept for the next request to that pod."""

HEADERS_LIMIT = 64
"""Most headers of an answer; servers of models send about ten."""

T = TypeVar("T")


class PodError(Exception):
    """A pod gave no usable answer; the message is for people, and goes on after the pod's address."""


class PodClient:
    """Requests to pods over HTTP on kept connections, which the first request opens; close() when done."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[int, bool], aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def ask(
        self,
        pod_ip: str,
        port: int,
        path: str = "/",
        *,
        method: str = "GET",
        size_limit_bytes: int,
        time_limit_s: float | None = None,
    ) -> bytes | None:
        """The body of a pod's answer; None for the errors of fetch()."""
        try:
            return await self.fetch(
                pod_ip, port, path, method=method, size_limit_bytes=size_limit_bytes, time_limit_s=time_limit_s
            )
        except PodError:
            return None

    async def fetch(
        self,
        pod_ip: str,
        port: int,
        path: str = "/",
        *,
        method: str = "GET",
        size_limit_bytes: int,
        time_limit_s: float | None = None,
        keeps_connection: bool = True,
    ) -> bytes:
        """The body of a pod's answer. Raises PodError when none comes within ``time_limit_s`` (else TIME_LIMIT_S) that
        is a whole 200.

        The request has no body and changes nothing, so it is repeated once when the pod had closed a kept connection.
        No redirect is followed, no name resolved, no encoding undone, no cookie kept, and hardly a byte read beyond
        ``size_limit_bytes`` (all that arrives counts, headers and framing included).
        """
        limit_s = TIME_LIMIT_S if time_limit_s is None else time_limit_s
        try:
            host = f"[{pod_ip}]" if ipaddress.ip_address(pod_ip).version == 6 else pod_ip
            url = f"http://{host}:{port}{path}"
            async with asyncio.timeout(limit_s):
                return await self._ask(self._session(size_limit_bytes, keeps_connection), method, url)
        except aiohttp.ConnectionTimeoutError as error:
            raise PodError(f"cannot be reached: no connection in {CONNECT_S:g} s") from error
        except TimeoutError as error:
            raise PodError(f"gave no whole answer in {limit_s:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise PodError(f"cannot be reached: {error.os_error.strerror or 'connection failed'}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PodError("broke off, or sent no HTTP or too much of it") from error

    async def _ask(self, session: aiohttp.ClientSession, method: str, url: str) -> bytes:
        try:
            return await _body(session, method, url)
        except aiohttp.ServerDisconnectedError:
            if method == "GET":
                raise  # aiohttp has repeated it already
            return await _body(session, method, url)

    def _session(self, size_limit_bytes: int, keeps_connection: bool) -> aiohttp.ClientSession:
        key = (size_limit_bytes, keeps_connection)
        if key not in self._sessions:
            kept: dict[str, Any] = {"keepalive_timeout": IDLE_S} if keeps_connection else {"force_close": True}
            self._sessions[key] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # those who ask bound it
                    socket_factory=lambda address: _BoundedSocket(size_limit_bytes, *address[:3]),
                    **kept,
                ),
                headers={"Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_S),  # fetch() has one for all together
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_headers=HEADERS_LIMIT,
            )
        return self._sessions[key]


async def _body(session: aiohttp.ClientSession, method: str, url: str) -> bytes:
    async with session.request(method, url, allow_redirects=False) as answer:
        if answer.status == 200:
            return await answer.read()
        answer.close()  # rather than read further data
        raise PodError(f"answered with status {answer.status}")


class _BoundedSocket(socket.socket):
    """Receives so many bytes after each request and no more.

    aiohttp bounds each header, but reads interim answers, chunk extensions and blank lines for as long as they come.
    """

    def __init__(self, limit_bytes: int, *address: int) -> None:
        super().__init__(*address)
        self._limit_bytes = self._left_bytes = limit_bytes

    def send(self, data: "ReadableBuffer", flags: int = 0, /) -> int:
        self._left_bytes = self._limit_bytes
        return super().send(data, flags)

    def recv(self, size_bytes: int, flags: int = 0, /) -> bytes:
        received = super().recv(min(size_bytes, self._left_bytes + 1), flags)
        self._left_bytes -= len(received)
        if self._left_bytes < 0:
            raise ConnectionAbortedError("the answer is too long")
        return received


class Reader(Generic[T]):
    """Reads from pods by their address; no reconcile waits for one that is slow or silent.

    ``question`` returns the answer of the pod at an address, None for nothing usable; it must have a time limit. It
    continues after read() has returned, and its result is the next read()'s answer. So a pod that never answers takes
    one of the connections, for TIME_LIMIT_S, and no worker.
    """

    def __init__(self, question: Callable[[str], Awaitable[T | None]]) -> None:
        self._question = question
        self._requests: dict[str, asyncio.Task[T | None]] = {}
        self._free = asyncio.Semaphore(CONNECTIONS_LIMIT)

    async def read(self, address: str) -> T | None:
        """The pod's answer now, else its answer to the read before; None without any."""
        last = self._requests.get(address)
        if last is not None and not last.done():
            return None
        before = last.result() if last is not None else None
        request = self._requests[address] = asyncio.create_task(self._ask(address))
        request.add_done_callback(lambda done: self._forget_later(address, done))
        await asyncio.wait({request}, timeout=SHORT_WAIT_S if last is not None and before is None else WAIT_S)
        return request.result() if request.done() else before

    async def _ask(self, address: str) -> T | None:
        async with self._free:
            return await self._question(address)

    def _forget_later(self, address: str, done: asyncio.Task[T | None]) -> None:
        asyncio.get_running_loop().call_later(KEPT_S, self._forget, address, done)

    def _forget(self, address: str, done: asyncio.Task[T | None]) -> None:
        if self._requests.get(address) is done:
            del self._requests[address]
