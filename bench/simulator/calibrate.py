"""How fast the real engine is: iterations of several sizes, and its capacity for the traffic that follows."""

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product, repeat

from bench.simulator import rows
from bench.simulator.arrivals import MEAN_OUTPUT, lengths
from bench.simulator.client import Client, Lengths
from bench.simulator.compare import windows
from bench.simulator.container import BATCHED_TOKENS_LIMIT, RUNNING_LIMIT
from bench.simulator.simulated import closed_loop
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.profiles import Measured, fit

TOGETHER = (1, 2, 4, RUNNING_LIMIT)
DECODED_PROMPTS = (32, 256)
DECODED_OUTPUT = 64
PROMPTS = (1, 16, 64, 256)
PROMPTS_S = 8.0
PROMPT_CLIENTS = 2
"""While one prompt is computed the next one is on its way, so that the engine never waits for a client."""

SCRAPE_EVERY_S = 0.5

SATURATED_S = 45.0
SATURATED_FROM_S = 9.0
SATURATED_CLIENTS = 2 * RUNNING_LIMIT

Log = Callable[[str], None]


@dataclass(frozen=True)
class Calibration:
    """``measured`` are iterations by what was done. ``saturated_tokens_per_s`` are generated while more clients ask
    than requests can run, with the lengths of the traffic.
    """

    measured: dict[str, Measured]
    kv_capacity_tokens: int
    saturated_tokens_per_s: float

    @property
    def capacity_per_s(self) -> float:
        """Requests of the traffic that it completes per second."""
        return self.saturated_tokens_per_s / MEAN_OUTPUT

    @property
    def profile(self) -> EngineProfile:
        """The one that fits the measured iterations."""
        limits = {"batched_tokens_limit": BATCHED_TOKENS_LIMIT, "running_limit": RUNNING_LIMIT}
        return fit("measured", list(self.measured.values()), self.kv_capacity_tokens, **limits)


def drawn(seed: int) -> Iterator[Lengths]:
    """Lengths as in the traffic, without an end."""
    chance = random.Random(seed)
    while True:
        yield lengths(chance)


async def measure_rows(client: Client, number: int, log: Log) -> dict[str, Measured]:
    """Each row once, on the idle engine, in some minutes. Raises TooFewSamplesError where it is too slow or fast."""
    await client.together((64, 16), RUNNING_LIMIT)  # what is only done once is done
    measured = {}
    for prompt, requests in product(DECODED_PROMPTS, TOGETHER):
        name = f"{requests} decode after {prompt}, pass {number}"
        measured[name] = await _decoding(client, requests, prompt)
        log(_line(name, measured[name]))
    for prompt in PROMPTS:
        name = f"prompts of {prompt}, pass {number}"
        measured[name] = await _prompts(client, prompt)
        log(_line(name, measured[name]))
    return measured


async def saturated_tokens_per_s(client: Client, seed: int) -> float:
    """Generated while more clients ask than requests can run."""
    client.restart()
    async with client.scraped(SCRAPE_EVERY_S) as samples:
        await client.closed_loop(drawn(seed), SATURATED_CLIENTS, SATURATED_S)
    return tokens_per_s(samples)


def _line(name: str, row: Measured) -> str:
    return f"{name}: {row.seconds * 1000:.1f} ms for {row.tokens:.1f} tokens, {row.context_tokens:.0f} read"


async def _decoding(client: Client, requests: int, prompt: int) -> Measured:
    async with client.scraped(SCRAPE_EVERY_S) as samples:
        await client.together((prompt, DECODED_OUTPUT), requests)
    return rows.decoding(samples, requests, prompt)


async def _prompts(client: Client, prompt: int) -> Measured:
    before, begin_s = await client.sample(), client.now_s()
    await client.closed_loop(repeat((prompt, 1)), PROMPT_CLIENTS, PROMPTS_S)
    end_s = client.now_s()
    return rows.prompts(before, await client.sample(), end_s - begin_s)


def tokens_per_s(samples: Sequence[EngineSample]) -> float:
    """Generated while it was saturated, without the first seconds, in which the first prompts are computed."""
    parts = windows(samples, SATURATED_FROM_S, SATURATED_S)[1:]
    return statistics.mean(part.generated_per_s for part in parts)


def simulated_tokens_per_s(profile: EngineProfile, seed: int) -> float:
    """The same of the simulated engine."""
    return tokens_per_s(closed_loop(profile, drawn(seed), SATURATED_CLIENTS, SATURATED_S, SCRAPE_EVERY_S))
