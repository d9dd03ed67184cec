"""Thousands of engines in one process: each address of the loopback network is a pod's, with a page of vLLM.

The pages are the recorded ones with counters that go on from tick to tick. The server does no more than it must: it has
the other processor, and the figures are of the one that scrapes.
"""

import asyncio
import re
import sys
from pathlib import Path

from bench.tick.processors import run_on

RECORDED = Path("tests/recordings/vllm/fixtures/vllm-0.32.0-load-4-running-38-waiting-kv100-18-preemptions.prom")
PAGES = 16
"""Ticks until the counters begin anew, which is as if the engines restarted."""

GROWING = re.compile(
    r"^(vllm:(?:prompt_tokens|generation_tokens|request_success|num_preemptions)_total\{[^\n]*\}"
    r"|vllm:\w+_(?:sum|count)\{[^\n]*\}) (\S+)$",
    re.MULTILINE,
)


def page(tick: int) -> bytes:
    """The page at one tick."""
    return GROWING.sub(lambda match: f"{match[1]} {float(match[2]) * (1 + tick / 10)!r}", RECORDED.read_text()).encode()


class Engine(asyncio.Protocol):
    """One connection, to any pod."""

    answered = 0

    def __init__(self, pods: int, answers: list[bytes]) -> None:
        self._pods = pods
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Each request for a page ends in a blank line, and has no body."""
        for _ in range(data.count(b"\r\n\r\n")):
            tick = Engine.answered // self._pods
            Engine.answered += 1
            self._transport.write(self._answers[tick % PAGES])


async def serve(pods: int) -> None:
    """Serve until the process is ended; its port is the first line that it prints."""
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=1.0.0; charset=utf-8\r\n"
        + b"Content-Length: %d\r\n\r\n" % len(page(tick))
        + page(tick)
        for tick in range(PAGES)
    ]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Engine(pods, answers), "0.0.0.0", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run_on(-1)
    asyncio.run(serve(int(sys.argv[1])))
