"""Servers that fall silent, trickle, or take few connections at once: retried, and reported in time."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath

import pytest

from modelyard.fetcher.content.remote_file import RemoteFile
from modelyard.fetcher.download import retrying_reader
from modelyard.fetcher.download.retrying_reader import RetryingReader
from modelyard.fetcher.failure import FetchError
from modelyard.fetcher.sources.ranged_client import RangedClient, web_dialect
from modelyard.fetcher.transport import connection as http_connection
from modelyard.fetcher.transport import slowness
from modelyard.fetcher.transport.connection import ConnectionFailedError
from modelyard.fetcher.transport.connection_errors import Server
from modelyard.fetcher.transport.connection_pool import Answer, ConnectionPool
from modelyard.fetcher.transport.slowness import Pace, StallClock
from tests.fetcher.places import certificates
from tests.support.loopback_server import LoopbackServer

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SIZE_BYTES = 1_000_000
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE_BYTES
TRICKLE_S = 0.05
Serve = Callable[[socket.socket, "Scripted"], None]


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowness, "STALL_LIMIT_S", 1.0)
    monkeypatch.setattr(http_connection, "TICK_S", 0.1)


class Scripted:
    """A server whose connections each do what ``serve`` does; it notes each request."""

    def __init__(self, serve: Serve) -> None:
        self.requests: list[str] = []
        self.ended = threading.Event()
        self.connections = 0
        self._serve = serve
        self._server = LoopbackServer(self._accepted)
        self.url = f"http://127.0.0.1:{self._server.port}/file"

    def _accepted(self, client: socket.socket) -> None:
        self.connections += 1
        with contextlib.suppress(OSError), client:
            self._serve(client, self)

    def next_request(self, client: socket.socket) -> str:
        """Empty where the client has gone."""
        request = client.recv(65536).decode()
        if request:
            self.requests.append(request)
        return request

    def next_range(self, client: socket.socket) -> bytes:
        """The head of an answer to the next request, for as many bytes as that requests."""
        range_ = re.search(r"Range: bytes=(\d+)-(\d+)", self.next_request(client))
        if range_ is None:
            return b""
        begin, end = int(range_[1]), int(range_[2])
        head = f"Content-Length: {end + 1 - begin}\r\nContent-Range: bytes {begin}-{end}/{SIZE_BYTES}"
        return f"HTTP/1.1 206 Partial Content\r\n{head}\r\n\r\n".encode()

    def trickle(self, client: socket.socket, content: bytes) -> None:
        for byte in content:
            client.sendall(bytes([byte]))
            self.ended.wait(TRICKLE_S)

    def close(self) -> None:
        self.ended.set()
        self._server.close()


@contextmanager
def scripted(serve: Serve) -> Iterator[Scripted]:
    server = Scripted(serve)
    try:
        yield server
    finally:
        server.close()


def pool() -> ConnectionPool:
    return ConnectionPool(certificates)  # type: ignore[arg-type] # never used without TLS


def client_of(server: Scripted) -> RangedClient:
    dialect = web_dialect(Server(server.url, "spec.model.uri"), None, lambda _: None)
    return RangedClient(dialect, certificates)  # type: ignore[arg-type] # never used without TLS


class WebFile:
    """A source of one file (source.Source), as far as a reader needs it."""

    def __init__(self, server: Scripted) -> None:
        self._server = server
        self._client = client_of(server)
        self.file = RemoteFile(PurePosixPath("file"), SIZE_BYTES, "file", "1", None)

    def open_range(self, file: RemoteFile, offset: int, length: int, clock: StallClock) -> Answer:
        return self._client.open_range(self._server.url, file, offset, length, clock=clock)

    def reader(self, pace: Pace | None = None) -> RetryingReader:
        source = self
        return RetryingReader(
            source,  # type: ignore[arg-type] # it lists nothing
            self.file,
            0,
            self.file.size_bytes,
            abandoned=threading.Event(),
            pace=pace or Pace(),
        )


def read_all(reader: RetryingReader) -> None:
    with memoryview(bytearray(SIZE_BYTES)) as target:
        done = 0
        while done < len(target):
            done += reader.fill(target[done:])


class FewAtOnce:
    """Serves so many connections at once, each as ``serve`` does, and resets the others."""

    def __init__(self, limit: int, serve: Serve) -> None:
        self._limit = limit
        self._serve_one = serve
        self._lock = threading.Lock()
        self._open = 0
        self.resets = 0

    def __call__(self, client: socket.socket, server: Scripted) -> None:
        with self._lock:
            is_served = self._open < self._limit
            self._open += is_served
            self.resets += not is_served
        if not is_served:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        try:
            self._serve_one(client, server)
        finally:
            client.close()
            with self._lock:
                self._open -= 1


def test_a_server_that_resets_all_but_a_few_connections_is_given_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowness, "STALL_LIMIT_S", 600.0)

    def serve(client: socket.socket, server: Scripted) -> None:
        while server.next_request(client):
            client.sendall(HELLO)

    few = FewAtOnce(2, serve)
    with scripted(few) as server:
        connections = pool()

        def send(_: int) -> bytes:
            with connections.ask("GET", server.url, {}) as answer:
                return answer.document(100)

        send(0)  # the server is known to answer
        with ThreadPoolExecutor(16) as threads:
            assert list(threads.map(send, range(200))) == [b"hello"] * 200
        assert few.resets < 20


def test_a_server_that_resets_every_connection_is_reported() -> None:
    with scripted(FewAtOnce(0, lambda _client, _server: None)) as server:
        with pytest.raises(ConnectionFailedError):
            pool().ask("GET", server.url, {})
        assert server.connections == 2


def test_a_request_to_a_server_that_falls_silent_is_repeated_once_over_a_new_connection() -> None:
    silent = threading.Event()

    def serve(client: socket.socket, server: Scripted) -> None:
        while server.next_request(client) and not silent.is_set():
            client.sendall(HELLO)
        server.ended.wait()

    with scripted(serve) as server, ExitStack() as answers:
        connections = pool()
        for answer in [connections.ask("GET", server.url, {}) for _ in range(8)]:
            answers.enter_context(answer).document(100)
        answers.close()
        silent.set()
        server.requests.clear()
        with pytest.raises(ConnectionFailedError, match="timed out"):
            connections.ask("GET", server.url, {})
        assert len(server.requests) == 2
        assert server.connections == 9


def test_connections_that_the_server_closed_are_followed_by_a_new_one() -> None:
    def serve(client: socket.socket, server: Scripted) -> None:
        server.next_request(client)
        client.sendall(HELLO)

    with scripted(serve) as server:
        connections = pool()
        for _ in range(3):
            with connections.ask("GET", server.url, {}) as answer:
                assert answer.document(100) == b"hello"


def test_a_body_that_trickles_is_requested_again_and_then_reported() -> None:
    def serve(client: socket.socket, server: Scripted) -> None:
        while head := server.next_range(client):
            client.sendall(head)
            server.trickle(client, bytes(1000))

    with scripted(serve) as server:
        reader = WebFile(server).reader()
        with pytest.raises(FetchError, match="trickles") as failure:
            read_all(reader)
        assert failure.value.reason == "EndpointUnreachable"
        assert len(server.requests) == 2
        reader.close()


def test_a_document_that_trickles_is_reported() -> None:
    def serve(client: socket.socket, server: Scripted) -> None:
        while server.next_request(client):
            client.sendall(LONG)
            server.trickle(client, bytes(1000))

    with scripted(serve) as server:
        with pytest.raises(FetchError, match="trickles"):
            client_of(server).document(server.url, 1_000_000)
        assert len(server.requests) == 2


@pytest.mark.parametrize("send", [lambda client, url: client.head(url, {}), lambda client, url: client.get(url)])
def test_a_head_that_trickles_is_reported(send: Callable[[RangedClient, str], object]) -> None:
    def serve(client: socket.socket, server: Scripted) -> None:
        while server.next_request(client):
            server.trickle(client, b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1000)

    with scripted(serve) as server:
        client = client_of(server)
        with pytest.raises(FetchError, match="does not respond in time"):
            send(client, server.url)


def test_interim_answers_without_end_are_reported() -> None:
    def serve(client: socket.socket, server: Scripted) -> None:
        while server.next_request(client):
            while not server.ended.is_set():
                client.sendall(b"HTTP/1.1 103 Hints\r\n\r\n")

    with scripted(serve) as server, pytest.raises(ConnectionFailedError, match="timed out"):
        pool().ask("GET", server.url, {})


def test_a_connection_far_below_the_others_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowness, "STALL_LIMIT_S", 600.0)
    monkeypatch.setattr(retrying_reader, "WINDOW_S", 0.3)

    def serve(client: socket.socket, server: Scripted) -> None:
        is_first = server.connections == 1
        while head := server.next_range(client):
            client.sendall(head)
            if is_first:
                server.trickle(client, bytes(100_000))
            else:
                client.sendall(bytes(SIZE_BYTES))

    with scripted(serve) as server:
        pace = Pace()
        pace.note(100_000_000, 1.0)
        reader = WebFile(server).reader(pace)
        read_all(reader)
        assert server.connections == 2
        reader.close()


def test_bytes_on_a_slow_link_are_handed_on_before_a_block_is_full() -> None:
    def serve(client: socket.socket, server: Scripted) -> None:
        while head := server.next_range(client):
            client.sendall(head + bytes(60_000))
            server.ended.wait()

    with scripted(serve) as server:
        reader = WebFile(server).reader()
        with memoryview(bytearray(1_000_000)) as target:
            assert reader.fill(target) == 60_000
        reader.close()
