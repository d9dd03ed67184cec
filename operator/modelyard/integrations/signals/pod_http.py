"""Questions to pods, which belong to tenants: whatever one answers, or does not, costs nobody else anything.

One answer is bounded in size and time, and no reconcile waits for a pod that is slow or silent: see Reader.
"""

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

TIME_LIMIT_S = 2.0
"""Longest time for one answer, from the connection's start to its last byte."""

WAIT_S = 0.2
"""How long a reconcile waits for a pod that answered last time; one inside the cluster takes some milliseconds."""

SHORT_WAIT_S = 0.02
"""How long it waits for a pod that did not: 500 such services take 16 workers less than a second in all."""

KEPT_S = 60.0
"""How long an answer that nobody asks for is kept: longer than the time between two looks at a starting pod."""

CONNECTIONS_LIMIT = 512
"""Questions on their way at once: below the 1024 files that a process may mostly have open."""

T = TypeVar("T")


async def ask(
    pod_ip: str,
    port: int,
    path: str = "/",
    *,
    method: str = "GET",
    size_limit_bytes: int,
    time_limit_s: float | None = None,
    host: str = "pod",
) -> bytes | None:
    """The body of a pod's answer; None when none comes within ``time_limit_s`` (else TIME_LIMIT_S) that is a plain,
    whole 200.

    One request, without a body: no redirect is followed, no name resolved, no encoding undone, and no byte read beyond
    ``size_limit_bytes`` (headers included).
    """
    request = f"{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    try:
        ipaddress.ip_address(pod_ip)
        async with asyncio.timeout(TIME_LIMIT_S if time_limit_s is None else time_limit_s):
            return _body(await _answer(pod_ip, port, request, size_limit_bytes), size_limit_bytes)
    except (OSError, TimeoutError, ValueError):
        return None


async def _answer(pod_ip: str, port: int, request: bytes, size_limit_bytes: int) -> bytes:
    reader, writer = await asyncio.open_connection(pod_ip, port, limit=size_limit_bytes)
    try:
        writer.write(request)
        await writer.drain()
        answer = b""
        while len(answer) <= size_limit_bytes and (piece := await reader.read(size_limit_bytes)):
            answer += piece
        return answer
    finally:
        with contextlib.suppress(OSError):
            writer.transport.abort()


def _body(answer: bytes, size_limit_bytes: int) -> bytes | None:
    head, separator, body = answer.partition(b"\r\n\r\n")
    status_line, *headers = head.split(b"\r\n")
    if len(answer) > size_limit_bytes or not separator or not re.match(rb"HTTP/1\.[01] 200( |$)", status_line):
        return None
    if any(header.lower().startswith(b"transfer-encoding:") for header in headers):
        return None
    return body


class Reader(Generic[T]):
    """Asks pods by their address, and has no reconcile wait for one that is slow or silent.

    ``question`` gives what the pod at an address says, None for nothing usable; it must end by itself. It goes on after
    read() has returned, and what it gives is the next read()'s answer. So a pod that never answers takes one of the
    connections, for TIME_LIMIT_S, and no worker.
    """

    def __init__(self, question: Callable[[str], Awaitable[T | None]]) -> None:
        self._question = question
        self._asked: dict[str, asyncio.Task[T | None]] = {}
        self._free = asyncio.Semaphore(CONNECTIONS_LIMIT)

    async def read(self, address: str) -> T | None:
        """What the pod says now, else what it said to the read before; None when that is nothing."""
        last = self._asked.get(address)
        if last is not None and not last.done():
            return None
        known = last.result() if last is not None else None
        asked = self._asked[address] = asyncio.create_task(self._ask(address))
        asked.add_done_callback(lambda done: self._forget_later(address, done))
        await asyncio.wait({asked}, timeout=SHORT_WAIT_S if last is not None and known is None else WAIT_S)
        return asked.result() if asked.done() else known

    async def _ask(self, address: str) -> T | None:
        async with self._free:
            return await self._question(address)

    def _forget_later(self, address: str, done: asyncio.Task[T | None]) -> None:
        asyncio.get_running_loop().call_later(KEPT_S, self._forget, address, done)

    def _forget(self, address: str, done: asyncio.Task[T | None]) -> None:
        if self._asked.get(address) is done:
            del self._asked[address]
