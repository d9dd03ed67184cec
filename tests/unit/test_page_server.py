"""Pages that any pod may request, on every address of the pod."""

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from modelyard.contract import page_server
from modelyard.contract.page_server import Page
from tests.support.eventually import eventually
from tests.support.ports import free_port

CONNECTIONS = 2


def broken() -> Page:
    raise ValueError


@pytest.fixture
def port() -> Iterator[int]:
    port = free_port()
    pages = {"/": lambda: page_server.as_json('{"a": 1}'), "/broken": broken}
    server = page_server.serve(port, pages, connections=CONNECTIONS, connection_limit_s=1.0)
    yield port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        pytest.param("[::1]", marks=pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")),
    ],
)
def test_a_page_is_served_on_addresses_of_both_families(port: int, host: str) -> None:
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.read() == b'{"a": 1}'


def test_a_machine_without_ipv6_serves_its_pages_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    port = free_port()
    server = page_server.serve(port, {"/": lambda: page_server.text(200, "ok")}, connections=1)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        assert answer.read() == b"ok\n"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("path", "status"), [("/cache", 404), ("/broken", 500)])
def test_what_is_not_there_or_fails_is_answered_by_its_status(port: int, path: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError, match=str(status)) as refusal:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)
    refusal.value.close()


def test_clients_that_never_end_their_requests_do_not_keep_others_from_theirs(port: int) -> None:
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    for each in slow:
        each.sendall(b"GET / HTTP/1.1\r\nX: ")
    for each in slow:
        assert each.recv(1) == b""  # it was hung up on
        each.close()
    eventually(lambda: _is_answered(port), within_s=10)  # a place is free a moment after its client was hung up on


def _is_answered(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except http.client.RemoteDisconnected:
        return False
    finally:
        connection.close()
