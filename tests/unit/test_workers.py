"""The workers: how much they do at once, what becomes of a failure, and how they stop."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator

import pytest

from modelyard.api.service import Key
from modelyard.controller.cluster.protocol import ApiError
from modelyard.controller.dispatch import workers as under_test
from modelyard.controller.dispatch.workers import Workers
from modelyard.controller.dispatch.workqueue import WorkQueue
from modelyard.controller.metrics import Metrics
from tests.support.clock import FakeClock
from tests.support.in_memory_cluster import unavailable

KEYS = [Key("team-a", f"model-{number}") for number in range(5)]
GRACE_S = 30.0


class World:
    """A queue, its workers, and a reconcile that a test lets go on key by key."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queue: WorkQueue[Key] = WorkQueue(self.clock, random=lambda: 1.0)
        self.metrics = Metrics()
        self.begun: list[Key] = []
        self.ended: list[Key] = []
        self.outcomes: dict[Key, BaseException | float] = {}
        self.admitted: dict[Key, float | None] = {}
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.workers = Workers(self.queue, self._admit, self._reconcile, self.metrics)

    def _admit(self, key: Key) -> float | None:
        return self.admitted.get(key, 0)

    async def _reconcile(self, key: Key) -> float | None:
        self.begun.append(key)
        await self.may_end.wait()
        outcome = self.outcomes.pop(key, None)
        if isinstance(outcome, BaseException):
            raise outcome
        self.ended.append(key)
        return outcome

    async def settle(self) -> None:
        """Let everything happen that needs no waiting."""
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    running = asyncio.create_task(made.workers.run(2))
    yield made
    made.may_end.set()
    await made.workers.stop(GRACE_S)
    await asyncio.gather(running, return_exceptions=True)


async def test_as_many_keys_as_there_are_workers_are_worked_on_at_once(world: World) -> None:
    world.may_end.clear()
    for key in KEYS:
        world.queue.add(key)
    await world.settle()
    assert world.begun == KEYS[:2]
    world.may_end.set()
    await world.settle()
    assert sorted(world.ended) == KEYS


async def test_a_key_that_requests_it_comes_again_at_its_time(world: World) -> None:
    world.outcomes[KEYS[0]] = 30.0
    world.queue.add(KEYS[0])
    await world.settle()
    world.clock.advance(29)
    await world.settle()
    assert len(world.begun) == 1
    world.clock.advance(1)
    await world.settle()
    assert len(world.begun) == 2


@pytest.mark.parametrize(
    ("error", "reason", "level"),
    [(unavailable(), "ServiceUnavailable", "WARNING"), (KeyError("defect"), "KeyError", "ERROR")],
)
async def test_a_failure_is_logged_counted_and_tried_again(
    world: World, caplog: pytest.LogCaptureFixture, error: Exception, reason: str, level: str
) -> None:
    world.outcomes[KEYS[0]] = error
    for key in KEYS:
        world.queue.add(key)
    await world.settle()
    assert world.ended == KEYS[1:]
    assert f'modelyard_reconcile_errors_total{{reason="{reason}"}} 1.0' in world.metrics.text().decode()
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == [level]
    world.clock.advance(60)
    await world.settle()
    assert world.ended == [*KEYS[1:], KEYS[0]]


async def test_a_reconcile_that_hangs_is_given_up_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(under_test, "RECONCILE_TIMEOUT_S", 0.0)
    world.may_end.clear()
    world.queue.add(KEYS[0])
    await world.settle()
    monkeypatch.undo()
    world.may_end.set()
    world.clock.advance(60)
    await world.settle()
    assert world.ended == [KEYS[0]]
    assert "took too long" in caplog.text


async def test_stopping_lets_what_is_in_work_end_and_takes_nothing_new(world: World) -> None:
    world.may_end.clear()
    for key in KEYS:
        world.queue.add(key)
    await world.settle()
    stopping = asyncio.create_task(world.workers.stop(GRACE_S))
    await world.settle()
    assert not stopping.done()
    world.may_end.set()
    await stopping
    assert world.ended == KEYS[:2]


async def test_stopping_ends_at_the_end_of_its_grace_what_goes_on_for_longer(world: World) -> None:
    world.may_end.clear()
    world.queue.add(KEYS[0])
    await world.settle()
    await world.workers.stop(grace_s=0)
    await world.settle()
    world.may_end.set()
    await world.settle()
    assert world.ended == []


async def test_work_that_waits_for_nothing_lets_others_have_their_turn(world: World) -> None:
    for number in range(20):
        world.queue.add(Key("team-a", f"model-{number}"))
    ended = [0]
    for _ in range(50):
        await asyncio.sleep(0)
        ended.append(len(world.ended))
    assert ended[-1] == 20
    assert max(after - before for before, after in itertools.pairwise(ended)) <= 2


async def test_a_key_that_is_not_admitted_is_dropped_and_one_for_later_comes_at_its_time(world: World) -> None:
    world.admitted = {KEYS[0]: None, KEYS[1]: 30.0}
    for key in KEYS[:3]:
        world.queue.add(key)
    await world.settle()
    assert world.begun == [KEYS[2]]
    assert "modelyard_reconcile_seconds_count 1.0" in world.metrics.text().decode()
    world.admitted = {}
    world.clock.advance(60)
    await world.settle()
    assert world.begun == [KEYS[2], KEYS[1]]


async def test_what_is_interrupted_ends_at_once_and_comes_back_and_the_workers_go_on(world: World) -> None:
    world.may_end.clear()
    for key in KEYS[:2]:
        world.queue.add(key)
    await world.settle()
    world.workers.interrupt()
    world.may_end.set()
    await world.settle()
    assert world.ended == []
    world.clock.advance(60)
    await world.settle()
    assert sorted(world.ended) == KEYS[:2]


async def test_a_key_comes_back_no_sooner_than_the_api_server_allows(world: World) -> None:
    world.outcomes[KEYS[0]] = ApiError(429, "TooManyRequests", "later", retry_after_s=20)
    world.queue.add(KEYS[0])
    await world.settle()
    world.clock.advance(19)
    await world.settle()
    assert len(world.begun) == 1
    world.clock.advance(1)
    await world.settle()
    assert len(world.begun) == 2
