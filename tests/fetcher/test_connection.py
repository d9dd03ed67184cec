"""Answers as servers of all kinds write them, read into memory of the caller's."""

import contextlib
import random
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from modelyard.fetcher.transport import connection as http_connection
from modelyard.fetcher.transport.connection import (
    ConnectionClosedError,
    ConnectionFailedError,
    Head,
    HttpConnection,
    Route,
)
from tests.fetcher.places import certificates, server_tls
from tests.support.loopback_server import LoopbackServer


@contextmanager
def server(*answers: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Gives these answers to the requests of each connection, one after the other, and closes it then."""

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError), tls.wrap_socket(client, server_side=True) if tls else client as connection:
            for answer in answers:
                if not connection.recv(65536):
                    return
                for begin in range(0, len(answer), 1000):  # so a reader of much is quicker, and waits
                    connection.sendall(answer[begin : begin + 1000])

    running = LoopbackServer(serve)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{running.port}/file"
    finally:
        running.close()


def opened(url: str) -> HttpConnection:
    return HttpConnection(Route.to(url, None), lambda: ssl.create_default_context(cafile=certificates().ca))


def body(connection: HttpConnection, block_bytes: int = 7) -> bytes:
    buffer = memoryview(bytearray(block_bytes))
    read = b""
    while count := connection.readinto(buffer):
        read += buffer[:count]
    return read


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "in chunks": CHUNKED + b"5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n",
    "after an interim one": b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "until the connection ends": b"HTTP/1.1 200 OK\r\n\r\nhello world",
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length:11\r\n\r\nhello world",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("block_bytes", [1, 7, 4096])
def test_each_form_of_a_body_is_read_whole(answer: bytes, block_bytes: int) -> None:
    with server(answer) as url:
        connection = opened(url)
        assert connection.ask("GET", url, {}).status == 200
        assert body(connection, block_bytes) == b"hello world"
        connection.close()


@pytest.mark.parametrize("first", [ANSWERS["with a length"], ANSWERS["in chunks"]])
def test_a_connection_serves_one_request_after_the_other(first: bytes) -> None:
    with server(first, ANSWERS["with a length"]) as url:
        connection = opened(url)
        connection.ask("GET", url, {})
        assert body(connection) == b"hello world"
        assert connection.can_be_kept
        connection.ask("GET", url, {})
        assert body(connection) == b"hello world"
        connection.close()


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("block_bytes", [100_003, 1024 * 1024])
@pytest.mark.parametrize("above_bytes", [-1, 0, 1, 2_000_005])
def test_no_byte_is_waited_for_in_vain_where_the_connection_stays_open(
    above_bytes: int, block_bytes: int, with_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "TICK_S", 1000.0)
    content = random.Random(above_bytes).randbytes(http_connection._LAST_BYTES + above_bytes)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    with server(answer, ANSWERS["with a length"], tls=server_tls() if with_tls else None) as url:
        connection = opened(url)
        connection.ask("GET", url, {})
        with ThreadPoolExecutor(1) as thread:
            reading = thread.submit(body, connection, block_bytes)
            try:
                assert reading.result(30) == content
            finally:
                if not reading.done():
                    connection.abort()
        connection.ask("GET", url, {})
        assert body(connection) == b"hello world"
        connection.close()


def test_an_answer_that_was_not_read_to_its_end_leaves_no_connection_to_keep() -> None:
    with server(ANSWERS["with a length"]) as url:
        connection = opened(url)
        connection.ask("GET", url, {})
        assert not connection.can_be_kept
        connection.close()


def test_header_names_are_returned_in_lower_case() -> None:
    with server(b'HTTP/1.1 206 Partial Content\r\nETag: "x"\r\nContent-Length: 0\r\n\r\n') as url:
        connection = opened(url)
        assert connection.ask("GET", url, {}) == Head(206, {"etag": '"x"', "content-length": "0"})
        connection.close()


def test_an_answer_to_head_has_no_body_whatever_its_content_length() -> None:
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", ANSWERS["with a length"]) as url:
        connection = opened(url)
        assert connection.ask("HEAD", url, {}).headers["content-length"] == "11"
        assert body(connection) == b""
        assert connection.can_be_kept
        connection.ask("GET", url, {})
        assert body(connection) == b"hello world"
        connection.close()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello world", CHUNKED + b"ff\r\nhello world"]
)
def test_a_body_that_ends_early_gives_what_came_and_then_raises(answer: bytes) -> None:
    with server(answer) as url:
        connection = opened(url)
        connection.ask("GET", url, {})
        buffer = memoryview(bytearray(100))
        count = connection.readinto(buffer)
        assert bytes(buffer[:count]) == b"hello world"
        with pytest.raises(ConnectionFailedError, match="ended early"):
            connection.readinto(buffer)
        assert not connection.can_be_kept
        connection.close()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "is not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "is no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "is absurd"),
        (CHUNKED + b"many\r\n", "chunks of no size"),
        (CHUNKED + b"-5\r\n", "chunks of no size"),
        (CHUNKED + b"f" * 5000 + b"\r\n", "chunks of no size"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000, "no end"),
    ],
)
def test_a_malformed_answer_is_rejected(answer: bytes, problem: str) -> None:
    with server(answer) as url:
        connection = opened(url)
        with pytest.raises(ConnectionFailedError, match=problem):
            connection.ask("GET", url, {})
        connection.close()


def test_a_connection_that_the_server_closes_without_an_answer_is_an_error_of_its_own() -> None:
    with server() as url:
        connection = opened(url)
        with pytest.raises(ConnectionClosedError):
            connection.ask("GET", url, {})
        connection.close()


@pytest.mark.parametrize("answer", [CHUNKED, CHUNKED + b"5", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_an_answer_that_is_cut_before_its_first_byte_is_a_connection_that_ended(answer: bytes) -> None:
    with server(answer) as url:
        connection = opened(url)
        with pytest.raises(ConnectionClosedError):
            connection.ask("GET", url, {})
        connection.close()


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_host_that_no_dns_takes_is_a_connection_that_failed(host: str) -> None:
    with pytest.raises(ConnectionFailedError):
        opened(f"http://{host}/file")


def test_a_reader_is_woken_from_outside() -> None:
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello", b"") as url:
        connection = opened(url)
        connection.ask("GET", url, {})
        connection.abort()
        with pytest.raises(ConnectionFailedError):
            _read_all(connection)
        connection.close()


def _read_all(connection: HttpConnection) -> None:
    while connection.readinto(memoryview(bytearray(100))):
        pass


@pytest.mark.parametrize("url", ["https://[", "ftp://host/file", "https:///file", "http://host:99999/file"])
def test_a_malformed_url_is_rejected(url: str) -> None:
    with pytest.raises(ConnectionFailedError):
        Route.to(url, None)
