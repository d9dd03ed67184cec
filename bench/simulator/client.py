"""What asks the engine, and what reads its metrics."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from modelyard.integrations.engines import vllm
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_page import EnginePage
from modelyard.scaling.simulator.clients import Arrival

ANSWER_LIMIT_S = 300.0
SCRAPE_LIMIT_S = 20.0
TOKEN_IDS = range(1000, 40_000)
"""Of the vocabulary of 49,152: ordinary words."""

Lengths = tuple[int, int]
"""Tokens of a prompt and of its answer."""


class WrongAnswerError(Exception):
    """The engine did not do what it was asked for."""


class Client:
    """Talks to the engine at ``url``. Times are seconds since ``restart``."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._page = EnginePage(vllm.METRICS)
        self._words = random.Random(0)
        self.restart()

    def restart(self) -> None:
        """Time counts from now on."""
        self._began_s = asyncio.get_running_loop().time()

    def now_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began_s

    async def complete(self, lengths: Lengths) -> None:
        """One request, to the end of its answer. Raises WrongAnswerError where it has other lengths."""
        prompt_tokens, output_tokens = lengths
        body = {
            "model": "model",
            "prompt": self._words.choices(TOKEN_IDS, k=prompt_tokens),
            "max_tokens": output_tokens,
            "ignore_eos": True,
            "temperature": 0,
        }
        async with self._session.post(f"{self._url}/v1/completions", json=body) as answer:
            if answer.status != 200:
                raise WrongAnswerError(f"status {answer.status}: {await answer.text()}")
            usage = (await answer.json())["usage"]
        if (usage["prompt_tokens"], usage["completion_tokens"]) != lengths:
            raise WrongAnswerError(f"asked for {lengths} tokens, got {usage}")

    async def together(self, lengths: Lengths, requests: int) -> None:
        """So many requests at once, to the end of the last."""
        await asyncio.gather(*(self.complete(lengths) for _ in range(requests)))

    async def closed_loop(self, lengths: Iterator[Lengths], clients: int, duration_s: float) -> None:
        """``clients`` that send their next request when they have their answer, none after ``duration_s``."""
        end_s = self.now_s() + duration_s

        async def ask() -> None:
            while self.now_s() < end_s:
                await self.complete(next(lengths))

        await asyncio.gather(*(ask() for _ in range(clients)))

    async def open_loop(self, arrivals: Sequence[Arrival]) -> float:
        """Send each request at its time, whatever became of the others, and wait for all answers. How late the latest
        was sent, in seconds.
        """
        late_s = 0.0
        async with asyncio.TaskGroup() as answers:
            for arrival in arrivals:
                await asyncio.sleep(max(arrival.time_s - self.now_s(), 0.0))
                late_s = max(late_s, self.now_s() - arrival.time_s)
                answers.create_task(self.complete((arrival.input_tokens, arrival.output_tokens)))
        return late_s

    async def sample(self) -> EngineSample:
        """What the engine's metrics show now; ``time_s`` is when the page had come."""
        place = f"{self._url}/metrics"
        async with self._session.get(place, timeout=aiohttp.ClientTimeout(total=SCRAPE_LIMIT_S)) as answer:
            page = await answer.read()
        found = self._page.parse(page, time_s=self.now_s(), place=place)
        if isinstance(found, Unknown):
            raise WrongAnswerError(found.cause)
        return found

    @asynccontextmanager
    async def scraped(
        self, every_s: float, look: Callable[[EngineSample], None] = lambda _: None
    ) -> AsyncIterator[list[EngineSample]]:
        """Its samples, from the begin of the block to its end, each of which is also given to ``look``."""
        samples = [await self.sample()]
        begin_s = samples[0].time_s

        async def scrape() -> None:
            while True:
                await asyncio.sleep(every_s - (self.now_s() - begin_s) % every_s)
                samples.append(await self.sample())
                look(samples[-1])

        async with asyncio.TaskGroup() as tasks:
            scraping = tasks.create_task(scrape())
            yield samples
            scraping.cancel()
        samples.append(await self.sample())


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A client, each of whose requests has a connection of its own, as many at once as there are."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Client(url, session)
