"""One run of the real engine under the traffic."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.simulator.client import Client
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling.simulator.clients import Arrival

SCRAPE_EVERY_S = 1.0
TOLD_EVERY_S = 15.0


@dataclass(frozen=True)
class Run:
    """What the engine's metrics showed, and how late the latest request was sent, in seconds."""

    samples: Sequence[EngineSample]
    late_s: float


async def measure(client: Client, arrivals: Sequence[Arrival], duration_s: float, log: Callable[[str], None]) -> Run:
    """Send the arrivals to the idle engine and watch it for ``duration_s``; returns once all answers have come."""
    told_s = 0.0

    def look(sample: EngineSample) -> None:
        nonlocal told_s
        if sample.time_s >= told_s + TOLD_EVERY_S:
            told_s = sample.time_s
            log(f"{sample.time_s:.0f} of {duration_s:.0f} s: {sample.running:.0f} run, {sample.waiting:.0f} wait")

    client.restart()
    async with client.scraped(SCRAPE_EVERY_S, look) as samples:
        late_s = await client.open_loop(arrivals)
        await asyncio.sleep(max(duration_s + SCRAPE_EVERY_S - client.now_s(), 0.0))
    return Run(samples, late_s)
