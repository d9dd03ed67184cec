"""The open connections of one source: taken for a request, given back once its answer was read."""

import contextlib
import functools
import threading
import weakref
from collections import defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from modelyard.fetcher.failure import StreamBrokenError
from modelyard.fetcher.transport.connection import (
    ConnectionClosedError,
    ConnectionFailedError,
    Head,
    HttpConnection,
    Route,
    Trust,
    proxy_of,
)

_SKIP_BYTES = 64 * 1024
_NO_LIMIT_BYTES = 1 << 62


class Answer:
    """One answer: its head, and its body as it comes (source.RangeReader). To be closed by whoever has it."""

    def __init__(self, pool: "ConnectionPool", route: Route, connection: HttpConnection, head: Head) -> None:
        self._pool = pool
        self._route = route
        self._connection = connection
        self._left_bytes = _NO_LIMIT_BYTES
        self._skip_bytes = 0
        self.head = head

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def limit_to(self, length: int, skip_bytes: int = 0) -> None:
        """From now on ``readinto`` reads over the first ``skip_bytes``, then gives ``length`` bytes and no byte more:
        a server that sends on could fill the disk.
        """
        self._left_bytes, self._skip_bytes = length, skip_bytes

    def readinto(self, target: memoryview, /) -> int:
        """As HttpConnection.readinto, with StreamBrokenError for a connection that broke."""
        try:
            if self._skip_bytes and not self._skip():
                return 0
            count = self._connection.readinto(target[: self._left_bytes])
        except ConnectionFailedError as error:
            raise StreamBrokenError(str(error)) from error
        self._left_bytes -= count
        return count

    def _skip(self) -> bool:
        """Whether the answer goes on after what is to be skipped."""
        with memoryview(bytearray(_SKIP_BYTES)) as scratch:
            while self._skip_bytes and (count := self._connection.readinto(scratch[: self._skip_bytes])):
                self._skip_bytes -= count
        return not self._skip_bytes

    def document(self, limit_bytes: int) -> bytes:
        """The body up to ``limit_bytes``. Raises StreamBrokenError."""
        body = bytearray(min(limit_bytes, 64 * 1024))
        document = bytearray()
        while len(document) < limit_bytes:
            with memoryview(body)[: limit_bytes - len(document)] as target:
                count = self.readinto(target)
            if not count:
                break
            document += body[:count]
        return bytes(document)

    def abort(self) -> None:
        """Ends the answer under the thread that reads it."""
        self._connection.abort()

    def close(self) -> None:
        self._pool.give_back(self._route, self._connection)


class ConnectionPool:
    """Thread-safe. As many connections are kept as were in use at once, as long as the pool itself."""

    def __init__(self, trust: Trust) -> None:
        """``trust`` is asked once, and only where a server speaks TLS."""
        self._trust = functools.cache(trust)
        self._lock = threading.Lock()
        self._free: defaultdict[Route, list[HttpConnection]] = defaultdict(list)
        weakref.finalize(self, _close_all, self._free)

    def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a request, over a free connection or a new one. Raises ConnectionFailedError."""
        route = Route.to(url, proxy_of(url))
        while connection := self._take(route):
            with contextlib.suppress(ConnectionFailedError):  # the server has closed it meanwhile
                return self._ask(route, connection, method, url, headers)
        try:
            return self._ask(route, HttpConnection(route, self._trust), method, url, headers)
        except ConnectionClosedError:
            return self._ask(route, HttpConnection(route, self._trust), method, url, headers)

    def _ask(
        self, route: Route, connection: HttpConnection, method: str, url: str, headers: Mapping[str, str]
    ) -> Answer:
        try:
            return Answer(self, route, connection, connection.ask(method, url, headers))
        except BaseException:
            connection.close()
            raise

    def give_back(self, route: Route, connection: HttpConnection) -> None:
        """The connection's answer is done with: it is kept, or closed where bytes of the answer are still to come."""
        if not connection.can_be_kept:
            connection.close()
            return
        with self._lock:
            self._free[route].append(connection)

    def _take(self, route: Route) -> HttpConnection | None:
        with self._lock:
            return self._free[route].pop() if self._free[route] else None


def _close_all(free: Mapping[Route, list[HttpConnection]]) -> None:
    for connections in free.values():
        for connection in connections:
            connection.close()
