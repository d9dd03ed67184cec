"""Loops beside the reconciles: when a round runs, how it ends, and what is known of it afterwards."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from modelyard.controller.cluster.protocol import NotLeadingError
from modelyard.controller.loops import STANDBY_S, Loop
from modelyard.controller.metrics import Metrics
from tests.support.in_memory_cluster import unavailable

INTERVAL_S = 30.0


class World:
    """A loop whose sleeps a test ends one by one; a round does what ``round`` is set to."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.leading = True
        self.slept_s: list[float] = []
        self.rounds = 0
        self.round: Callable[[], Awaitable[None]] = nothing
        self._wakes: asyncio.Queue[None] = asyncio.Queue()

    def start(self, limit_s: float = 3600.0) -> None:
        self.loop = Loop(
            "sample",
            self._one,
            interval_s=INTERVAL_S,
            limit_s=limit_s,
            is_leading=lambda: self.leading,
            metrics=self.metrics,
            sleep=self._sleep,
        )
        self.task = asyncio.create_task(self.loop.forever())

    async def wake(self) -> None:
        """Let the sleep end, and all that happens then without waiting."""
        self._wakes.put_nowait(None)
        await settle()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    def shown(self, line: str) -> bool:
        return line in self.metrics.text().decode().splitlines()

    async def _one(self) -> None:
        self.rounds += 1
        await self.round()

    async def _sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await self._wakes.get()


async def nothing() -> None:
    """A round without anything to do."""


async def hang() -> None:
    await asyncio.Event().wait()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.end()


async def test_a_round_runs_only_in_the_process_that_leads_and_soon_after_it_came_to_lead(world: World) -> None:
    world.leading = False
    world.start()
    await settle()
    assert (world.rounds, world.slept_s) == (0, [STANDBY_S])
    world.leading = True
    await world.wake()
    assert (world.rounds, world.slept_s) == (1, [STANDBY_S, INTERVAL_S])


@pytest.mark.parametrize(
    ("error", "reason", "level"),
    [
        (unavailable(), "ServiceUnavailable", "WARNING"),
        (NotLeadingError(0, "NotLeading", "another replica"), "NotLeading", "WARNING"),
        (KeyError("defect"), "KeyError", "ERROR"),
    ],
)
async def test_a_round_that_fails_is_logged_and_counted_and_the_next_one_comes(
    world: World, caplog: pytest.LogCaptureFixture, error: Exception, reason: str, level: str
) -> None:
    async def fail() -> None:
        raise error

    world.round = fail
    world.start()
    await settle()
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == [level]
    assert world.shown(f'modelyard_loop_errors_total{{loop="sample",reason="{reason}"}} 1.0')
    assert "last_round_timestamp_seconds{" not in world.metrics.text().decode()
    world.round = nothing
    await world.wake()
    assert world.shown('modelyard_loop_round_seconds_count{loop="sample"} 2.0')
    assert 'last_round_timestamp_seconds{loop="sample"}' in world.metrics.text().decode()


async def test_a_round_that_takes_too_long_ends_and_is_counted(world: World) -> None:
    world.round = hang
    world.start(limit_s=0.0)
    await settle()
    assert world.shown('modelyard_loop_errors_total{loop="sample",reason="Timeout"} 1.0')
    assert world.slept_s == [INTERVAL_S]


async def test_a_round_ends_at_once_with_the_right_to_write_and_the_loop_goes_on(world: World) -> None:
    world.round = hang
    world.start()
    await settle()
    world.leading = False
    world.loop.interrupt()
    await settle()
    assert world.shown('modelyard_loop_errors_total{loop="sample",reason="Cancelled"} 1.0')
    await world.wake()
    assert (world.rounds, world.slept_s[-1]) == (1, STANDBY_S)
    world.leading = True
    await world.wake()
    assert world.rounds == 2


async def test_a_loop_that_is_stopped_leaves_no_round_behind(world: World) -> None:
    left: list[str] = []

    async def take_leave() -> None:
        try:
            await hang()
        finally:
            await asyncio.sleep(0)
            left.append("the round")

    world.round = take_leave
    world.start()
    await settle()
    await world.end()
    assert left == ["the round"]
    assert world.task.cancelled()


async def test_an_interrupt_between_two_rounds_ends_nothing(world: World) -> None:
    world.start()
    await settle()
    world.loop.interrupt()
    await world.wake()
    assert world.rounds == 2
