"""A small HTTP/1.1 server that behaves as uvicorn does where a client can see it: headers, keep-alive, closing."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

KEEP_ALIVE_S = 5.0
"""How long an idle connection is kept, as VLLM_HTTP_TIMEOUT_KEEP_ALIVE has it by default."""
HEADER_LIMIT_BYTES = 64 * 1024


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    client: str = "-"


@dataclass
class Response:
    """What to answer; with `stream`, the body is what that iterator of chunks yields."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    stream: "AsyncChunks | None" = None


AsyncChunks = Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]
"""A function that sends its chunks one by one through the one that it is given."""
Answer = Callable[[Request], Awaitable[Response]]
Served = Callable[[Request, Response, float], None]
"""Called with each answered request and the seconds it took."""


class _Reader(asyncio.StreamReader):
    """Knows at once that the client has left, also while nothing reads."""

    def __init__(self) -> None:
        super().__init__(limit=HEADER_LIMIT_BYTES)
        self.left = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.left.set()


class HttpServer:
    """Serves `answer` on a bound socket; no client can connect before `listen`."""

    def __init__(self, answer: Answer, served: Served) -> None:
        self._answer = answer
        self._served = served
        self._idle: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = False

    async def listen(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=bound, backlog=2048)

    async def close(self) -> None:
        """Refuses new connections, drops idle ones, and waits until the clients of the others have left."""
        self._closing = True
        self._server.close()
        for writer in list(self._idle):
            writer.close()
        if self._connections:
            await asyncio.wait(self._connections)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = _Reader()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._converse(reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        return asyncio.StreamReaderProtocol(reader, connected)

    async def _converse(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        try:
            while not self._closing:
                self._idle.add(writer)
                async with asyncio.timeout(KEEP_ALIVE_S):
                    request = await _read(reader, writer)
                self._idle.discard(writer)
                work = asyncio.ensure_future(self._exchange(request, writer))
                left = asyncio.ensure_future(reader.left.wait())
                await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
                left.cancel()
                if not work.done():
                    work.cancel()
                    return
                work.result()
                if request.headers.get("connection", "").lower() == "close":
                    return
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client's doing, or its silence
        finally:
            self._idle.discard(writer)
            writer.close()

    async def _exchange(self, request: Request, writer: asyncio.StreamWriter) -> None:
        started_s = asyncio.get_running_loop().time()
        response = await self._answer(request)
        writer.write(_head(request, response))
        if response.stream is None:
            writer.write(response.body)
        else:

            async def send(chunk: bytes) -> None:
                writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                await writer.drain()

            await response.stream(send)
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        self._served(request, response, asyncio.get_running_loop().time() - started_s)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, _, rest = head[0].partition(" ")
    target = rest.rpartition(" ")[0]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise ConnectionError(f"not HTTP: content-length {length}")
    body = await reader.readexactly(int(length))
    host, port = (writer.get_extra_info("peername") or ("-", 0))[:2]
    return Request(method, target.partition("?")[0], headers, body, f"{host}:{port}")


def _head(request: Request, response: Response) -> bytes:
    status = HTTPStatus(response.status)
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"date: {date}", "server: uvicorn"]
    if response.stream is None:
        lines.append(f"content-length: {len(response.body)}")
    if response.content_type:
        lines.append(f"content-type: {response.content_type}")
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines.append("vary: Origin")
    if response.stream is not None:
        lines.append("transfer-encoding: chunked")
    if request.headers.get("connection", "").lower() == "close":
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
