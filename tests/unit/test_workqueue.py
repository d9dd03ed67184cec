"""The queue's promises, on a clock that only the test moves."""

import asyncio
from collections.abc import Awaitable

import pytest

from modelyard.controller.dispatch.workqueue import BACKOFF_FIRST_S, BACKOFF_LONGEST_S, WorkQueue
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue[str]:
    return WorkQueue(clock, random=lambda: 1.0)


async def at_once(awaitable: Awaitable[str]) -> str | None:
    """The result if it is there without waiting, else None."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if task.done():
        return task.result()
    task.cancel()
    return None


async def test_a_key_added_twice_comes_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    assert await at_once(queue.get()) == "a"
    queue.done("a")
    assert await at_once(queue.get()) is None


async def test_keys_come_in_the_order_of_their_first_add(queue: WorkQueue[str]) -> None:
    for key in ("a", "b", "a", "c"):
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]


async def test_a_key_in_work_is_handed_to_no_second_worker(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert await at_once(queue.get()) is None


async def test_a_key_added_while_in_work_comes_once_more(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    queue.done("a")
    assert await at_once(queue.get()) == "a"
    queue.done("a")
    assert await at_once(queue.get()) is None


async def test_a_waiting_worker_gets_a_key_that_is_added_later(queue: WorkQueue[str]) -> None:
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == "a"


async def test_a_worker_that_stops_waiting_loses_no_key(queue: WorkQueue[str]) -> None:
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    queue.add("a")
    assert await at_once(queue.get()) == "a"


async def test_a_failed_key_waits_twice_as_long_each_time(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a")
    for expected_s in (BACKOFF_FIRST_S, 2 * BACKOFF_FIRST_S, 4 * BACKOFF_FIRST_S):
        assert await at_once(queue.get()) == "a"
        queue.done("a", failed=True)
        clock.advance(expected_s - 0.01)
        assert await at_once(queue.get()) is None
        clock.advance(0.02)
    assert await at_once(queue.get()) == "a"


async def test_a_key_that_fails_for_long_is_tried_every_minute(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a")
    for _ in range(100):
        assert await at_once(queue.get()) == "a"
        queue.done("a", failed=True)
        clock.advance(BACKOFF_LONGEST_S)


async def test_success_ends_the_backoff(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a")
    for failed in (True, True, True, False, True):
        assert await at_once(queue.get()) == "a"
        queue.done("a", failed=failed)
        queue.add("a")
    queue.done(await queue.get())
    queue.add("a")
    await queue.get()
    queue.done("a", failed=True)
    clock.advance(BACKOFF_FIRST_S)
    assert await at_once(queue.get()) == "a"


@pytest.mark.parametrize(("random", "expected_s"), [(0.0, BACKOFF_FIRST_S / 2), (1.0, BACKOFF_FIRST_S)])
async def test_chance_spreads_a_retry_between_half_and_the_whole_wait(random: float, expected_s: float) -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock, random=lambda: random)
    queue.add("a")
    queue.done(await queue.get(), failed=True)
    clock.advance(expected_s - 0.001)
    assert len(queue) == 0
    clock.advance(0.002)
    assert len(queue) == 1


async def test_news_about_a_failed_key_is_not_held_back(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a")
    queue.done(await queue.get(), failed=True)
    queue.add("a")
    queue.done(await queue.get())
    clock.advance(10 * BACKOFF_LONGEST_S)
    assert await at_once(queue.get()) is None


async def test_of_two_later_times_the_sooner_counts(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("a", 30)
    queue.add_after("a", 10)
    queue.add_after("a", 20)
    clock.advance(10)
    assert await at_once(queue.get()) == "a"
    queue.done("a")
    clock.advance(60)
    assert await at_once(queue.get()) is None


async def test_a_later_time_set_while_in_work_is_kept(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a")
    await queue.get()
    queue.add_after("a", 5)
    queue.done("a")
    clock.advance(5)
    assert await at_once(queue.get()) == "a"


async def test_the_age_is_that_of_the_oldest_key_that_waits_or_is_in_work(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    assert queue.oldest_age_s() == 0
    queue.add("a")
    clock.advance(5)
    queue.add("b")
    clock.advance(1)
    assert queue.oldest_age_s() == 6
    await queue.get()
    clock.advance(2)
    assert queue.oldest_age_s() == 3
    queue.done("a")
    queue.add_after("c", 100)
    assert queue.oldest_age_s() == 3


async def test_the_length_counts_only_keys_that_wait(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 1)
    await queue.get()
    assert len(queue) == 1
