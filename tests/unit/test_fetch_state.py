"""The fetcher's state is read without trust: a lying endpoint can neither hang nor flood the operator."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.integrations.signals import fetch_state, pod_http
from modelyard.integrations.signals.fetch_state import FetchError, FetchState, parse, read

TOLD = {
    "phase": "Downloading",
    "since": "2026-11-22T12:00:00+00:00",
    "uri": "s3://models/smollm",
    "digest": "sha256:" + "0" * 64,
    "mounted": False,
    "bytesDone": 10,
    "bytesTotal": 100,
    "bytesPerSecond": 5,
    "cacheHit": False,
    "unverifiedFiles": 0,
    "medium": "NodeLocal",
    "fetchedBytes": 10,
    "seconds": 1.5,
    "waitingForPod": "0b7e-4a",
    "error": None,
}
UNDERSTOOD = FetchState(
    phase="Downloading",
    uri="s3://models/smollm",
    medium="NodeLocal",
    digest="sha256:" + "0" * 64,
    mounted=False,
    bytes_done=10,
    bytes_total=100,
    bytes_per_second=5,
    cache_hit=False,
    fetched_bytes=10,
    seconds=1.5,
    waiting_for_pod="0b7e-4a",
)

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def test_what_the_fetcher_tells_is_understood() -> None:
    assert parse(json.dumps(TOLD)) == UNDERSTOOD


def test_an_error_is_understood_and_its_text_cleaned_and_cut() -> None:
    told = {"error": {"reason": "AccessDenied", "message": "no\x1b[31m\n" + "x" * 5000}}
    state = parse(json.dumps(told))
    assert state
    assert state.error
    assert state.error.reason == "AccessDenied"
    assert state.error.message.startswith("no [31m xxx")
    assert len(state.error.message) == 1024


@pytest.mark.parametrize(
    "text",
    [None, "", "garbage", "[]", "null", '"text"', "[" * 8000, b"\xff\xfe\x00", '{"a": ' + "9" * 5000 + "}", " " * 9000],
)
def test_what_is_no_bounded_json_object_is_unknown(text: str | bytes | None) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("value", [-1, 1.5, True, "10", 2**60, None, [], {}])
def test_an_odd_size_is_unknown_and_never_zero(value: object) -> None:
    told = dict.fromkeys(("bytesDone", "bytesTotal", "bytesPerSecond", "fetchedBytes"), value)
    assert parse(json.dumps(told)) == FetchState()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 10**9, True, "10", None, []])
def test_an_odd_time_is_unknown_and_never_zero(value: object) -> None:
    assert parse(json.dumps({"seconds": value})) == FetchState()


@pytest.mark.parametrize(
    "told",
    [
        {"phase": 7},
        {"digest": "sha256:XYZ"},
        {"cacheHit": 1},
        {"mounted": "yes"},
        {"error": "text"},
        {"error": []},
        {"phase": "\x00\x07"},
        {"medium": ["NodeLocal"]},
        {"waitingForPod": "../../etc"},
    ],
)
def test_a_field_of_another_type_or_form_is_unknown(told: object) -> None:
    assert parse(json.dumps(told)) == FetchState()


def test_an_error_without_words_is_still_an_error() -> None:
    assert parse('{"error": {}}') == FetchState(error=FetchError("", "the fetcher gave no message"))


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_no_answer_raises(value: object) -> None:
    parse(json.dumps(dict.fromkeys((*TOLD, "error"), value)))
    parse(json.dumps({"error": {"reason": value, "message": value}}))


@contextlib.asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[int]:
    """A port of this machine that gives ``answer`` to each who connects."""
    conversations = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.append(asyncio.current_task())
        with contextlib.suppress(OSError):
            await answer(reader, writer)
        writer.transport.abort()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*(task for task in conversations if task))


def saying(text: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()

    return answer


async def endless_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def slow_drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    while not reader.at_eof():
        writer.write(b"H")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), timeout=0.01)


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        await reader.read(65536)


async def test_a_fetcher_is_read_from_its_port() -> None:
    body = json.dumps(TOLD).encode()
    head = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with answering(saying(head + body)) as port:
        assert await read("127.0.0.1", port) == UNDERSTOOD


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"garbage",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.0 500 Oh no\r\n\r\n{}",
        b"HTTP/1.0 2000 OK\r\n\r\n{}",
        b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nX-Huge: " + b"h" * 100_000 + b"\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 100_000 + b"{}",
        b"\x00\xff" * 500,
    ],
    ids=lambda text: repr(text[:40]),
)
async def test_a_lying_answer_is_unknown(text: bytes) -> None:
    async with answering(saying(text)) as port:
        assert await read("127.0.0.1", port) is None


@pytest.mark.parametrize("answer", [endless_body, slow_drip, silence])
async def test_an_endless_answer_ends_in_unknown(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_http, "TIME_LIMIT_S", 0.2)
    async with answering(answer) as port:
        assert await read("127.0.0.1", port) is None


async def test_no_more_is_read_than_a_fetcher_would_send(monkeypatch: pytest.MonkeyPatch) -> None:
    async def flood_and_wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * (fetch_state.SIZE_LIMIT_BYTES + 1))
        await silence(reader, writer)

    monkeypatch.setattr(pod_http, "TIME_LIMIT_S", 3600)
    async with answering(flood_and_wait) as port, asyncio.timeout(20):
        assert await read("127.0.0.1", port) is None


async def test_a_port_where_nobody_listens_is_unknown() -> None:
    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert await read("127.0.0.1", port) is None
