"""A port as a pod has one, which gives every caller the same answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class PodPort:
    """``requests`` are the heads of those that came."""

    port: int
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[PodPort]:
    """A port on loopback that sends ``answer`` and closes."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
        writer.transport.abort() if len(answer) > 65536 else writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield PodPort(server.sockets[0].getsockname()[1], requests)
