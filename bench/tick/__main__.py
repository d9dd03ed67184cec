"""`make bench-tick`: one tick of autoscaling for a thousand services. docs/benchmarks.md says what is measured."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp

from bench.fetch.ratios import Figure, spread
from bench.tick.fleet import Service, fleet, tick
from bench.tick.processors import run_on
from modelyard.integrations.signals.pod_http import PodClient
from modelyard.integrations.signals.pod_metrics import ANSWERING_LIMIT, PodMetrics

INTERVAL_S = 15.0
GOAL_S = 5.0


@dataclass(frozen=True)
class Taken:
    """Seconds on the clock, and of the processor, and how many pods were not read."""

    wall_s: float
    cpu_s: float
    unread: int = 0


async def main() -> int:
    """Measure, and print what was seen."""
    services = int(os.environ.get("BENCH_SERVICES", "1000"))
    pods_of_each = int(os.environ.get("BENCH_PODS", "4"))
    ticks = int(os.environ.get("BENCH_TICKS", "5"))
    pods = services * pods_of_each
    run_on(0)
    with _engines(pods) as port:
        print(f"{services} services x {pods_of_each} pods, {ticks} ticks after one that does not count", flush=True)
        running = fleet(services, pods_of_each, port)
        urls = [f"http://{pod.ip}:{port}/metrics" for service in running for pod in service.pods]
        floors = [await _measured(lambda: _bare(urls)) for _ in range(ticks)]
        taken = await _ticks(running, ticks)
    _report(taken, floors)
    return 0


async def _ticks(services: Sequence[Service], ticks: int) -> list[Taken]:
    client = PodClient()
    signals = PodMetrics(client, interval_s=INTERVAL_S)
    taken = []
    for number in range(ticks + 1):
        spent = await _measured(lambda: tick(services, signals))
        print(f"tick {number}: {spent.wall_s:.2f} s, {spent.cpu_s:.2f} CPU-s, {spent.unread} pods unread", flush=True)
        if number:
            taken.append(spent)
    await signals.close()
    await client.close()
    return taken


async def _bare(urls: Sequence[str]) -> int:
    """The floor: the same pages, as many at once, each on a connection of its own, by aiohttp alone."""
    free = asyncio.Semaphore(ANSWERING_LIMIT)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:

        async def fetch(url: str) -> None:
            async with free, session.get(url) as answer:
                await answer.read()

        await asyncio.gather(*map(fetch, urls))
    return 0


async def _measured(work: Callable[[], Awaitable[int]]) -> Taken:
    wall_s, cpu_s = time.monotonic(), time.process_time()
    unread = await work()
    return Taken(time.monotonic() - wall_s, time.process_time() - cpu_s, unread)


@contextmanager
def _engines(pods: int) -> Iterator[int]:
    """The port of the engines, which end with the block."""
    command = [sys.executable, "-m", "bench.tick.engines", str(pods)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _report(taken: Sequence[Taken], floors: Sequence[Taken]) -> None:
    wall, cpu = spread([each.wall_s for each in taken]), spread([each.cpu_s for each in taken])
    floor = spread([each.cpu_s for each in floors])
    print(f"\ntick: {wall} s, {cpu} CPU-s; aiohttp alone: {floor} CPU-s. Load average {os.getloadavg()[0]:.1f}.\n")
    print(Figure("tick_s", wall.median, GOAL_S).line())
    print(Figure("tick_cpu_s", cpu.median, GOAL_S).line())
    print(Figure("tick_unread_pods", max(each.unread for each in taken), 0).line())
    print(Figure("tick_cpu_over_bare_fetch", cpu.median / floor.median, 2.0).line())


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
