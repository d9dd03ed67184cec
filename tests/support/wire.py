"""The way from a program to the API server, with faults on it: answers of its own, delays, silence, cuts.

It speaks HTTP on both sides, with the API server's own certificate, so that a fault can be limited to some requests.
"""

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.support.apiserver import ApiServer

T = TypeVar("T")

HANDSHAKE_TIMEOUT_S = 20
"""How long a client that connected may hold up the end by sending nothing."""

Matches = Callable[[str], bool]
"""Whether a fault is for a request, given its first line without the protocol: ``GET /api/v1/pods?watch=true``."""

GONE = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired"}}
"""The answer to a watch whose version the API server no longer has."""


def is_watch(request: str) -> bool:
    return "watch=true" in request


def is_apply(request: str) -> bool:
    return request.startswith("PATCH ")


@dataclass(frozen=True)
class Answer:
    """What the client gets in place of the API server's answer."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> bytes:
        content = json.dumps(self.body).encode() + b"\n"
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Fault", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Fault:
    """What happens to the next ``times`` requests that match: an ``answer`` if there is one, after ``delay_s``.

    A held request goes on when the fault is lifted.
    """

    matches: Matches
    times: float
    answer: Answer | None = None
    delay_s: float = 0
    lifted: asyncio.Event | None = None


@dataclass(frozen=True)
class Seen:
    """A request that came, and when."""

    request: str
    at_s: float


class Wire:
    """Passes each connection on to the API server. Faults may be set at any time, from any thread."""

    def __init__(self, apiserver: ApiServer) -> None:
        self.seen: list[Seen] = []
        self._to_port = urlsplit(apiserver.url).port
        self._faults: list[Fault] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._is_closing = False
        self._latest: dict[asyncio.StreamWriter, str] = {}
        self._muted: set[asyncio.StreamWriter] = set()
        self._inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._inside.load_cert_chain(apiserver.certificate, apiserver.certificate.with_suffix(".key"))
        self._outside = ssl.create_default_context(cafile=str(apiserver.certificate))
        self._loop = asyncio.new_event_loop()
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._do(self._listen())
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def answer(self, matches: Matches, answer: Answer, times: float = 1) -> None:
        """Answer the next requests in the API server's place."""
        self._faults.append(Fault(matches, times, answer=answer))

    def slow_down(self, matches: Matches, delay_s: float) -> None:
        """Let every request that matches wait before it goes on."""
        self._faults.append(Fault(matches, float("inf"), delay_s=delay_s))

    @contextmanager
    def holding(self, matches: Matches, times: float = 1) -> Iterator[None]:
        """Hold the next requests, and let them go on at the end, whether or not a client still waits for them."""
        held = Fault(matches, times, lifted=asyncio.Event())
        self._faults.append(held)
        try:
            yield
        finally:
            assert held.lifted is not None
            self._faults.remove(held)
            self._loop.call_soon_threadsafe(held.lifted.set)

    @contextmanager
    def half_dead(self) -> Iterator[None]:
        """Accept everything and answer nothing, on old connections and new ones."""
        self._loop.call_soon_threadsafe(self._speaks.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._speaks.set)

    def cut(self, matches: Matches) -> int:
        """Reset the connections whose latest request matches. Returns how many there were."""

        async def cut() -> int:
            found = [writer for writer, request in self._latest.items() if matches(request)]
            for writer in found:
                writer.transport.abort()
            return len(found)

        return self._do(cut())

    def mute(self, matches: Matches) -> int:
        """Let no more answers through on the connections whose latest request matches, as a lost route does.

        Returns how many there were. New connections fare well.
        """

        async def mute() -> int:
            found = {writer for writer, request in self._latest.items() if matches(request)}
            self._muted |= found
            return len(found)

        return self._do(mute())

    def heal(self) -> None:
        """Let all go on undisturbed."""
        self._faults = [fault for fault in self._faults if fault.lifted]

    def count(self, matches: Matches) -> int:
        """How many requests matched so far."""
        return sum(1 for seen in self.seen if matches(seen.request))

    def close(self) -> None:
        """Cut all connections, and return when the last is gone.

        Nothing is cancelled, and the server is closed last: asyncio leaves a socket open without an owner when its
        handshake is cancelled, or when it was accepted just before its server was closed.
        """

        async def end() -> None:
            self._is_closing = True
            for listening in self._server.sockets:
                self._loop.remove_reader(listening)
            self._speaks.set()
            for fault in self._faults:
                if fault.lifted:
                    fault.lifted.set()
            for writer in self._open:
                writer.transport.abort()
            if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(tasks)
            self._server.close()

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> asyncio.Server:
        serving: set[asyncio.Task[None]] = set()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._opened(writer):
                task = self._loop.create_task(self._serve(reader, writer))
                serving.add(task)
                task.add_done_callback(serving.discard)

        return await asyncio.start_server(
            accepted, "127.0.0.1", 0, ssl=self._inside, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
        )

    def _opened(self, writer: asyncio.StreamWriter) -> bool:
        """Take note of a connection. False when it comes too late: then it is cut."""
        if self._is_closing:
            writer.transport.abort()
        else:
            self._open.add(writer)
        return not self._is_closing

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to_port, ssl=self._outside)
            if self._opened(up_writer):
                answers = self._loop.create_task(self._pass_answers(up_reader, writer))
                try:
                    await self._pass_requests(reader, writer, up_writer)
                finally:
                    self._cut(up_writer)
        self._cut(writer)
        self._latest.pop(writer, None)
        if answers:
            await answers

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        self._open.discard(writer)

    async def _pass_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: asyncio.StreamWriter
    ) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            lengths = [line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")]
            body = await reader.readexactly(int(lengths[0])) if lengths else b""
            request = lines[0].rpartition(" ")[0]
            self._latest[writer] = request
            self.seen.append(Seen(request, time.monotonic()))
            await self._speaks.wait()
            if answer := await self._fault(request):
                writer.write(answer.text)
                await writer.drain()
            else:
                up.write(head + body)
                await up.drain()

    async def _fault(self, request: str) -> Answer | None:
        fault = next((fault for fault in self._faults if fault.times > 0 and fault.matches(request)), None)
        if fault is None:
            return None
        fault.times -= 1
        await asyncio.sleep(fault.delay_s)
        if fault.lifted:
            await fault.lifted.wait()
        return fault.answer

    async def _pass_answers(self, up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await up.read(65536):
                await self._speaks.wait()
                if writer not in self._muted:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()


@contextmanager
def wire(apiserver: ApiServer) -> Iterator[Wire]:
    """A way to the API server that can be disturbed."""
    made = Wire(apiserver)
    try:
        yield made
    finally:
        made.close()
