"""Pods are queried over HTTP: each answer is bounded, and a pod that is slow or silent takes no worker's time."""

import asyncio
import contextlib
import gzip
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from modelyard.integrations.signals import pod_http
from modelyard.integrations.signals.pod_http import PodClient, Reader
from tests.support.clock import JumpingLoop


class Pods:
    """Pods that answer when the test orders it."""

    def __init__(self) -> None:
        self.answers: dict[str, asyncio.Future[str | None]] = {}
        self.addresses: list[str] = []

    async def question(self, address: str) -> str | None:
        self.addresses.append(address)
        return await self.answers.setdefault(address, asyncio.get_running_loop().create_future())

    def answer(self, address: str, text: str | None) -> None:
        self.answers.pop(address).set_result(text)


async def test_the_answer_of_a_pod_is_read_at_once() -> None:
    async def question(address: str) -> str | None:
        return f"here is {address}"

    reader = Reader(question)
    assert [await reader.read("10.0.0.1"), await reader.read("10.0.0.1")] == ["here is 10.0.0.1"] * 2


async def test_a_late_answer_is_that_of_the_next_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_http, "WAIT_S", 0.01)
    pods = Pods()
    reader = Reader(pods.question)
    assert await reader.read("10.0.0.1") is None
    assert await reader.read("10.0.0.1") is None
    assert pods.addresses == ["10.0.0.1"], "it gets no second request meanwhile"
    pods.answer("10.0.0.1", "late")
    await asyncio.sleep(0)
    assert await reader.read("10.0.0.1") == "late"


def test_five_hundred_silent_pods_hold_up_sixteen_workers_once_and_then_hardly() -> None:
    """The pods are queried one after the other by 16 workers, as their services' reconciles would."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(_silent_pods())


async def _silent_pods() -> None:
    pods = Pods()
    reader = Reader(pods.question)
    addresses = [f"10.0.{number // 250}.{number % 250}" for number in range(500)]

    async def worker(number: int) -> None:
        for address in addresses[number::16]:
            assert await reader.read(address) is None

    async def round_s() -> float:
        time = asyncio.get_running_loop().time
        started = time()
        await asyncio.gather(*map(worker, range(16)))
        return time() - started

    each = math.ceil(500 / 16)
    assert await round_s() == pytest.approx(each * pod_http.WAIT_S)
    for address in list(pods.answers):
        pods.answer(address, None)
    await asyncio.sleep(0)
    assert await round_s() == pytest.approx(each * pod_http.SHORT_WAIT_S)
    assert len(pods.addresses) == 1000


async def test_only_so_many_requests_are_in_flight_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_http, "CONNECTIONS_LIMIT", 3)
    monkeypatch.setattr(pod_http, "WAIT_S", 0.01)
    pods = Pods()
    reader = Reader(pods.question)
    await asyncio.gather(*(reader.read(f"10.0.0.{number}") for number in range(10)))
    assert len(pods.addresses) == 3


async def test_what_is_no_longer_requested_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_http, "KEPT_S", 0.0)

    async def question(address: str) -> str | None:
        return address

    reader = Reader(question)
    assert await reader.read("10.0.0.1") == "10.0.0.1"
    assert len(reader._requests) == 1
    forgotten = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, forgotten.set)
    await forgotten.wait()
    assert reader._requests == {}


LIMIT_BYTES = 8192
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
"""Answers the request of this number (from 1) on a connection."""


@dataclass
class Pod:
    """A port of this machine. ``requests`` has one list of request heads for each connection."""

    port: int = 0
    requests: list[list[bytes]] = field(default_factory=list)
    sent_bytes: int = 0


@asynccontextmanager
async def answering(answer: Answer, host: str = "127.0.0.1") -> AsyncIterator[Pod]:
    pod, conversations = Pod(), []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.append(asyncio.current_task())
        heads: list[bytes] = []
        pod.requests.append(heads)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await answer(reader, writer, len(heads))
        writer.transport.abort()

    async with await asyncio.start_server(converse, host, 0) as server:
        pod.port = server.sockets[0].getsockname()[1]
        yield pod
    await asyncio.gather(*(task for task in conversations if task))


def replying(text: bytes, *, then_close: bool = True) -> Answer:
    """One whole answer."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: int) -> None:
        writer.write(text)
        await writer.drain()
        if then_close:
            writer.close()

    return answer


def whole(body: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def send(pods: PodClient, pod: Pod, **how: str) -> bytes | None:
    return await pods.ask("127.0.0.1", pod.port, size_limit_bytes=LIMIT_BYTES, **how)  # type: ignore[arg-type] # texts


@pytest.mark.parametrize(
    "text",
    [
        whole(b"{}"),
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        OK + b"Connection: close\r\n\r\n{}",
        CHUNKED + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"{}"),
    ],
    ids=repr,
)
async def test_a_whole_answer_is_read(pods: PodClient, text: bytes) -> None:
    async with answering(replying(text)) as pod:
        assert await send(pods, pod) == b"{}"


REFUSED = {
    "nothing": b"",
    "no HTTP": b"\x00\xff" * 500,
    "another protocol": b"SSH-2.0-OpenSSH_9\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\n",
    "an error": b"HTTP/1.1 500 Oh no\r\nContent-Length: 2\r\n\r\n{}",
    "a status that is none": b"HTTP/1.1 2000 OK\r\n\r\n{}",
    "a part": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\n{}",
    "less than announced": OK + b"Content-Length: 3\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length that is none": OK + b"Content-Length: -2\r\n\r\n{}",
    "a chunk that is cut off": CHUNKED + b"8\r\n{}",
    "a chunk without a size": CHUNKED + b"x\r\n{}",
    "a huge header": OK + b"X-Huge: " + b"h" * 100_000 + b"\r\n\r\n{}",
    "many headers": OK + b"X: y\r\n" * 1000 + b"\r\n{}",
    "a longer body": whole(b" " * LIMIT_BYTES + b"{}"),
    "an announced gigabyte": OK + b"Content-Length: 1000000000\r\n\r\n{}",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
async def test_an_answer_that_is_no_whole_200_is_none(pods: PodClient, text: bytes) -> None:
    async with answering(replying(text)) as pod:
        assert await send(pods, pod) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(pods: PodClient, status: int) -> None:
    async with answering(replying(whole(b"{}"))) as elsewhere:
        there = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{elsewhere.port}/\r\nContent-Length: 0\r\n\r\n"
        async with answering(replying(there.encode())) as pod:
            assert await send(pods, pod) is None
        assert elsewhere.requests == []


ENDLESS = {
    "a body": (OK + b"\r\n", b"x" * 4096),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "one chunk's extensions": (CHUNKED + b"1", b";a=b"),
    "one chunk's size": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n"),
    "headers": (OK, b"X: y\r\n"),
    "a header": (OK + b"X: ", b"y" * 4096),
    "a header's name": (OK, b"y" * 4096),
    "a folded header": (OK + b"X: y\r\n", b" y\r\n"),
    "a reason": (b"HTTP/1.1 200 ", b"y" * 4096),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "blank lines": (b"", b"\r\n"),
    "garbage": (b"", b"\x00\xff"),
}


@pytest.mark.parametrize(("head", "piece"), ENDLESS.values(), ids=ENDLESS)
async def test_what_has_no_end_is_cut_off_by_its_size(
    pods: PodClient, monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes
) -> None:
    monkeypatch.setattr(pod_http, "TIME_LIMIT_S", 3600)
    flood = piece * (65536 // len(piece))

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: int) -> None:
        writer.write(head)
        while True:
            writer.write(flood)
            await writer.drain()

    async with answering(answer) as pod, asyncio.timeout(60):
        assert await send(pods, pod) is None


@pytest.mark.parametrize("drip", [b"", b"HTTP", b"\r\n", OK + b"\r\n{", CHUNKED + b"1\r\n"], ids=repr)
async def test_what_comes_too_slowly_is_cut_off_by_the_time_for_all_of_it(
    pods: PodClient, monkeypatch: pytest.MonkeyPatch, drip: bytes
) -> None:
    monkeypatch.setattr(pod_http, "TIME_LIMIT_S", 0.2)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        for byte in drip:
            writer.write(bytes([byte]))
            await writer.drain()
        while not reader.at_eof():
            writer.write(drip[-1:])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), timeout=0.01)

    async with answering(answer) as pod:
        assert await send(pods, pod) is None


async def test_no_encoding_is_requested_and_none_undone(pods: PodClient) -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    text = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    async with answering(replying(text)) as pod:
        assert await send(pods, pod) == bomb
    assert b"\r\nAccept-Encoding: identity\r\n" in pod.requests[0][0]


async def test_a_cookie_is_not_given_back(pods: PodClient) -> None:
    text = OK + b"Set-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}"
    async with answering(replying(text, then_close=False)) as pod:
        for _ in range(2):
            assert await send(pods, pod) == b"{}"
        await pods.close()
    assert b"Cookie" not in b"".join(pod.requests[0])


async def test_a_connection_is_kept_and_each_answer_on_it_bounded_anew(pods: PodClient) -> None:
    text = whole(b"{" + b" " * (LIMIT_BYTES // 2) + b"}")
    async with answering(replying(text, then_close=False)) as pod:
        for _ in range(10):
            assert await send(pods, pod) is not None
        await pods.close()
    assert [len(connection) for connection in pod.requests] == [10]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_kept_connection_that_the_pod_closed_is_replaced_by_a_new_one(pods: PodClient, method: str) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 1:
            writer.write(whole(b"{}"))
        else:
            writer.close()

    async with answering(answer) as pod:
        for _ in range(3):
            assert await send(pods, pod, method=method) == b"{}"
        await pods.close()
    assert [len(connection) for connection in pod.requests] == [2, 2, 1]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_pod_that_always_hangs_up_gets_two_requests_and_no_more(pods: PodClient, method: str) -> None:
    async with answering(replying(b"")) as pod:
        assert await send(pods, pod, method=method) is None
    assert len(pod.requests) == 2


async def test_an_answer_that_is_not_awaited_leaves_no_connection_behind(pods: PodClient) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        writer.write(OK + b"Content-Length: 9\r\n\r\n{")
        await writer.drain()
        begun.set()
        with contextlib.suppress(OSError):
            await reader.read()
        gone.set()
        writer.close()

    async with answering(answer) as pod:
        task = asyncio.create_task(send(pods, pod))
        async with asyncio.timeout(60):
            await begun.wait()
            task.cancel()
            await gone.wait()


async def test_a_pod_with_an_ipv6_address_is_queried(pods: PodClient) -> None:
    try:
        async with answering(replying(whole(b"{}")), host="::1") as pod:
            assert await pods.ask("::1", pod.port, size_limit_bytes=LIMIT_BYTES) == b"{}"
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_a_port_without_a_listener_gives_no_answer(pods: PodClient) -> None:
    async with answering(replying(b"")) as pod:
        pass
    assert await send(pods, pod) is None


@pytest.mark.parametrize("address", ["", "metadata.google.internal", "10.0.0.1:80", "10.0.0.1/../x"])
async def test_requests_go_to_addresses_and_never_to_names(pods: PodClient, address: str) -> None:
    assert await pods.ask(address, 9470, size_limit_bytes=100) is None
