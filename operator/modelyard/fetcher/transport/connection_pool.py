"""The open connections of one source: taken for a request, given back once its answer was read."""

import functools
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from modelyard.fetcher.transport.slowness import StallClock

_SKIP_BYTES = 64 * 1024
_NO_LIMIT_BYTES = 1 << 62

_HOLD_S = 5.0
"""After a server refused a connection beside others, so long no more are tried; then ever longer."""

_HOLD_LIMIT_S = 300.0


class Answer:
    """One answer: its head, and its body as it comes (source.RangeReader). The caller must close it."""

    def __init__(self, give_back: Callable[[HttpConnection], None], connection: HttpConnection, head: Head) -> None:
        self._give_back = give_back
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
        """Skips what precedes the range; False if the answer ends before."""
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
        self._give_back(self._connection)


@dataclass
class _Server:
    """The pool's state for one server (or for one through a proxy)."""

    free: list[HttpConnection] = field(default_factory=list)
    opening: int = 0
    in_use: int = 0
    """Connections whose answer is being read."""
    limit: int | None = None
    """So many connections it took when it refused one more."""
    more_at_s: float = 0.0
    """From then on one more is tried."""
    hold_s: float = _HOLD_S

    @property
    def open(self) -> int:
        return self.in_use + len(self.free)

    def takes_more(self, now_s: float) -> bool:
        if self.limit is None or self.open + self.opening < self.limit:
            return True
        return now_s >= self.more_at_s and not self.opening

    def refused(self, now_s: float) -> None:
        self.limit = self.open
        self.more_at_s = now_s + self.hold_s
        self.hold_s = min(2 * self.hold_s, _HOLD_LIMIT_S)

    def took(self) -> None:
        self.in_use += 1
        if self.limit is not None and self.open > self.limit:
            self.limit = None


class ConnectionPool:
    """Thread-safe. As many connections are kept as were in use at once, as long as the pool itself.

    A server that refuses or resets a connection while it serves others gets no more than it serves: further requests
    wait until one is free. Now and then one more is tried.
    """

    def __init__(self, trust: Trust) -> None:
        """``trust`` is called once, and only for a server with TLS."""
        self._trust = functools.cache(trust)
        self._changed = threading.Condition()
        self._servers: defaultdict[Route, _Server] = defaultdict(_Server)
        weakref.finalize(self, _close_all, self._servers)

    def ask(self, method: str, url: str, headers: Mapping[str, str], clock: StallClock | None = None) -> Answer:
        """The answer to a request, over a free connection or a new one. Raises ConnectionFailedError.

        A free connection that fails, or is silent for ``clock``'s patience, is followed by a new one: the server may
        have closed it, or a firewall forgotten it. ``clock`` stands while others hold all connections.
        """
        clock = clock or StallClock()
        route = Route.to(url, proxy_of(url))
        with self._changed:
            server = self._servers[route]
        may_be_kept, may_fail = True, True
        while True:
            kept = self._admitted(server, clock, may_be_kept=may_be_kept)
            patience_s = clock.patience_s if kept else clock.limit_s
            connection = kept
            try:
                connection = connection or HttpConnection(route, self._trust)
                head = connection.ask(method, url, headers, clock, patience_s)
            except BaseException as error:
                self._lost(server, connection)
                if kept and isinstance(error, ConnectionFailedError):
                    may_be_kept = False
                elif isinstance(error, ConnectionClosedError) and self._serves_others(server):
                    may_be_kept = True
                elif isinstance(error, ConnectionClosedError) and may_fail:
                    may_fail = False
                else:
                    raise
            else:
                return self._answered(server, connection, head)

    def _admitted(self, server: _Server, clock: StallClock, *, may_be_kept: bool) -> HttpConnection | None:
        """A free connection; or None, and a new one may be made. Waits for either."""
        clock.pause()
        with self._changed:
            while not (may_be_kept and server.free) and not server.takes_more(time.monotonic()):
                if clock.has_ended:
                    raise ConnectionFailedError("given up")
                if server.free:
                    server.free.pop().close()
                else:
                    self._changed.wait(_HOLD_S)
            server.opening += 1
            kept = server.free.pop() if may_be_kept and server.free else None
        clock.resume()
        return kept

    def _lost(self, server: _Server, connection: HttpConnection | None) -> None:
        if connection:
            connection.close()
        with self._changed:
            server.opening -= 1
            self._changed.notify_all()

    def _answered(self, server: _Server, connection: HttpConnection, head: Head) -> Answer:
        with self._changed:
            server.opening -= 1
            server.took()
            self._changed.notify_all()
        return Answer(functools.partial(self._give_back, server), connection, head)

    def _serves_others(self, server: _Server) -> bool:
        """Whether the server, which refused a connection, holds others: then it is given no more than these."""
        with self._changed:
            while server.opening and not server.open:
                self._changed.wait(_HOLD_S)
            if server.open:
                server.refused(time.monotonic())
            return bool(server.open)

    def _give_back(self, server: _Server, connection: HttpConnection) -> None:
        """The connection's answer is done with: it is kept, or closed where bytes of the answer are still to come."""
        is_kept = connection.can_be_kept
        if not is_kept:
            connection.close()
        with self._changed:
            server.in_use -= 1
            if is_kept:
                server.free.append(connection)
            self._changed.notify_all()


def _close_all(servers: Mapping[Route, _Server]) -> None:
    for server in servers.values():
        for connection in server.free:
            connection.close()
