"""The full LIST: what it repairs, and what it reveals of the watches."""

import asyncio
from collections.abc import Iterator

import pytest

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import NotFoundError
from modelyard.controller.dispatch.resync import RETRY_S, WATCH_LAG_S, Resync
from modelyard.controller.dispatch.workqueue import WorkQueue
from tests.support import factories
from tests.support.clock import FakeClock
from tests.support.in_memory_cluster import InMemoryCluster, unavailable


class EndOfTest(BaseException):
    """Ends a loop that has no end."""


class World:
    """A cluster, what is known of it, and a sleep that does the next thing of ``script`` instead of waiting."""

    def __init__(self) -> None:
        self.cluster = InMemoryCluster()
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(FakeClock(), random=lambda: 0.5)
        self.slept_s: list[float] = []
        self.behind: list[frozenset[Kind]] = []
        self.script: Iterator[None] = iter(())
        self.resync = Resync(self.cluster, self.cache, self.queue, self._done, random=lambda: 0.5, sleep=self._sleep)

    async def _done(self, behind: frozenset[Kind]) -> None:
        self.behind.append(behind)

    async def _sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        try:
            next(self.script)
        except StopIteration:
            raise EndOfTest from None

    async def run_to_the_end(self) -> None:
        with pytest.raises(EndOfTest):
            await self.resync.forever(600)


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_fills_the_cache_and_queues_every_service(world: World) -> None:
    world.cluster.put(factories.service())
    world.cluster.put(factories.child())
    world.cluster.put(factories.child(kinds.SERVICE, name="foreign", service_label=None))
    await world.resync.first()
    assert world.cache.get(kinds.INFERENCE_SERVICE, Key("team-a", "smollm")) is not None
    assert len(world.cache.children(Key("team-a", "smollm"))) == 2
    assert await asyncio.wait_for(world.queue.get(), 1) == Key("team-a", "smollm")
    assert world.behind == [frozenset()]


async def test_a_ghost_is_forgotten(world: World) -> None:
    world.cache.upsert(kinds.INFERENCE_SERVICE, factories.service(resource_version="5"))
    await world.resync.first()
    assert world.cache.all_of(kinds.INFERENCE_SERVICE) == ()
    assert len(world.queue) == 0


async def test_a_watch_that_catches_up_in_time_is_not_behind(world: World) -> None:
    def script() -> Iterator[None]:
        stored = world.cluster.put(factories.service())
        yield
        world.cache.upsert(kinds.INFERENCE_SERVICE, stored)
        yield

    world.script = script()
    await world.run_to_the_end()
    assert world.slept_s == [600, WATCH_LAG_S, 600]
    assert world.behind == [frozenset()]


async def test_a_watch_that_stays_silent_is_behind_and_its_objects_are_taken_over(world: World) -> None:
    def script() -> Iterator[None]:
        world.cluster.put(factories.service())
        yield
        yield

    world.script = script()
    await world.run_to_the_end()
    assert world.behind == [frozenset({kinds.INFERENCE_SERVICE})]
    assert len(world.cache.all_of(kinds.INFERENCE_SERVICE)) == 1


async def test_a_resync_that_fails_comes_again_soon(world: World) -> None:
    def script() -> Iterator[None]:
        world.cluster.fail_next("list", unavailable())
        yield
        yield
        yield

    world.script = script()
    await world.run_to_the_end()
    assert world.slept_s == [600, RETRY_S, WATCH_LAG_S, 600]


@pytest.mark.parametrize(("random", "interval_s"), [(0.0, 480.0), (1.0, 720.0)])
async def test_jitter_keeps_many_operators_from_sending_requests_at_once(
    world: World, random: float, interval_s: float
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        raise EndOfTest

    resync = Resync(world.cluster, world.cache, world.queue, world._done, random=lambda: random, sleep=sleep)
    with pytest.raises(EndOfTest):
        await resync.forever(600)
    assert slept == [pytest.approx(interval_s)]


async def test_an_optional_kind_that_the_cluster_lacks_is_an_empty_list(world: World, widgets: Kind) -> None:
    world.cluster.put(factories.service())
    world.cluster.lacks.add(widgets)
    await world.resync.first()
    assert world.cache.absent_kinds == {widgets, kinds.SCALED_OBJECT}
    assert len(world.cache.all_of(kinds.INFERENCE_SERVICE)) == 1


async def test_a_kind_that_every_cluster_has_may_not_be_missing(world: World) -> None:
    world.cluster.lacks.add(kinds.NETWORK_POLICY)
    with pytest.raises(NotFoundError):
        await world.resync.first()


async def test_an_optional_kind_that_is_installed_later_is_found_and_its_watch_is_not_called_late(
    world: World, widgets: Kind
) -> None:
    world.cluster.lacks.add(widgets)
    await world.resync.first()

    def script() -> Iterator[None]:
        world.cluster.lacks.clear()
        world.cluster.put(factories.child(widgets))
        yield
        yield

    world.script = script()
    await world.run_to_the_end()
    assert world.cache.absent_kinds == frozenset()
    assert [child.kind for child in world.cache.children(Key("team-a", "smollm"))] == [widgets]
    assert world.behind == [frozenset(), frozenset()]


async def test_an_optional_kind_that_goes_takes_its_objects_with_it(world: World, widgets: Kind) -> None:
    world.cluster.put(factories.child(widgets))
    await world.resync.first()

    def script() -> Iterator[None]:
        world.cluster.lacks.add(widgets)
        yield
        yield

    world.script = script()
    await world.run_to_the_end()
    assert world.cache.absent_kinds == {widgets, kinds.SCALED_OBJECT}
    assert world.cache.children(Key("team-a", "smollm")) == ()
