"""Who writes, when several processes are there: on one clock that the test moves, with what befalls each of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.fence import Fence
from modelyard.controller.cluster.protocol import ApiError, UnreachableError
from modelyard.controller.dispatch.leadership import (
    DURATION_S,
    END_OF_WRITES_S,
    RENEW_DEADLINE_S,
    RETRY_S,
    Leadership,
    Observation,
    Step,
    decide,
    observed,
)
from tests.support.clock import FakeClock
from tests.support.in_memory_cluster import InMemoryCluster

HOME = "modelyard-system"
PLACE = Key(HOME, names.LEADER_LEASE)
UNREACHABLE = UnreachableError(0, "Timeout", "no answer within 2 s")
TAKE_OVER_S = 15.0
STEP_S = 0.1


def lease(holder: str | None, renewed: str = "r1", duration_s: int = 10) -> Object:
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": duration_s}
    return {"metadata": {"resourceVersion": "1"}, "spec": {k: v for k, v in spec.items() if v is not None}}


@pytest.mark.parametrize(
    ("seen", "age_s", "step", "wait_s"),
    [
        (None, 0, Step.TAKE, RETRY_S),
        (lease("me"), 0, Step.RENEW, RETRY_S),
        (lease("me"), 500, Step.RENEW, RETRY_S),
        (lease(None), 0, Step.TAKE, RETRY_S),
        (lease("other"), 0, Step.WAIT, RETRY_S),
        (lease("other"), 9.5, Step.WAIT, 0.5),
        (lease("other"), 10, Step.TAKE, RETRY_S),
        (lease("other", duration_s=60), 59, Step.WAIT, 1.0),
        ({"metadata": {}, "spec": {"holderIdentity": "other"}}, 9, Step.WAIT, 1.0),
    ],
)
def test_what_is_done_about_a_lease(seen: Object | None, age_s: float, step: Step, wait_s: float) -> None:
    decided, looks_again_s = decide(Observation(seen, 1000.0), 1000.0 + age_s, "me")
    assert (decided, round(looks_again_s, 6)) == (step, wait_s)


def test_its_time_counts_from_the_first_look_that_saw_it_whatever_the_holders_clock() -> None:
    first = observed(None, lease("other", renewed="2000-01-01T00:00:00Z"), 5.0)
    again = observed(first, lease("other", renewed="2000-01-01T00:00:00Z"), 9.0)
    renewed = observed(again, lease("other", renewed="2000-01-01T00:00:02Z"), 11.0)
    assert [seen.since_s for seen in (first, again, renewed)] == [5.0, 5.0, 11.0]


class Process:
    """One process: its leadership, and when it held it. While ``is_frozen`` it does nothing at all."""

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.is_frozen = False
        self.gained = self.lost = 0
        self._world = world
        self._wake = asyncio.Event()
        self.fence = Fence(world.clock.time)
        self.leadership = Leadership(
            world.cluster,
            self.fence,
            namespace=HOME,
            identity=name,
            gained=self._on_gained,
            lost=self._on_lost,
            now_s=world.clock.time,
            now=lambda: datetime.fromtimestamp(world.clock.time(), UTC),
            random=lambda: 0.5,
            sleep=self._sleep,
        )
        self.task = asyncio.create_task(self.leadership.forever())

    def _on_gained(self) -> None:
        self.gained += 1

    def _on_lost(self) -> None:
        self.lost += 1

    async def _sleep(self, seconds: float) -> None:
        due_s = self._world.clock.time() + seconds
        while self._world.clock.time() < due_s or self.is_frozen:
            self._wake.clear()
            await self._wake.wait()

    async def stop(self) -> None:
        """End what it does, wherever it is."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def wake(self) -> None:
        self._wake.set()

    @property
    def writes(self) -> bool:
        return self.fence.time_left_s > 0


class World:
    """An API server, a clock, and the processes that are alive."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = InMemoryCluster()
        self.processes: list[Process] = []

    def start(self, name: str) -> Process:
        self.processes.append(Process(name, self))
        return self.processes[-1]

    async def leader_and_standby(self) -> tuple[Process, Process]:
        """Two that have been there for a while."""
        first = self.start("first")
        await self.pass_time(1)
        second = self.start("second")
        await self.pass_time(10)
        return first, second

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, in which never two processes may write."""
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
            for process in self.processes:
                process.wake()
            for _ in range(10):  # as many steps as a look and a write take
                await asyncio.sleep(0)
            assert sum(process.writes for process in self.processes) <= 1

    async def until_written_by(self, process: Process) -> float:
        """How long it took until that process might write."""
        begin_s = self.clock.time()
        while not process.writes:
            assert self.clock.time() - begin_s < 60, f"{process.name} never leads"
            await self.pass_time(STEP_S)
        return self.clock.time() - begin_s

    @property
    def spec(self) -> Object:
        found = self.cluster.see(kinds.LEASE, PLACE)
        assert found is not None
        spec: Object = found["spec"]
        return spec


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    for process in made.processes:
        await process.stop()


async def test_the_first_leads_and_the_second_stands_by(world: World) -> None:
    first = world.start("first")
    await world.pass_time(1)
    second = world.start("second")
    await world.pass_time(60)
    assert (first.writes, second.writes) == (True, False)
    assert (first.gained, first.lost, second.gained) == (1, 0, 0)
    assert (world.spec["holderIdentity"], world.spec["leaseTransitions"]) == ("first", 0)


async def test_a_killed_leader_is_followed_within_fifteen_seconds(world: World) -> None:
    first, second = await world.leader_and_standby()
    first.task.cancel()
    assert await world.until_written_by(second) <= TAKE_OVER_S
    assert (world.spec["holderIdentity"], world.spec["leaseTransitions"]) == ("second", 1)


async def test_one_that_gives_the_lease_back_is_followed_at_the_next_look(world: World) -> None:
    first, second = await world.leader_and_standby()
    first.task.cancel()
    await first.leadership.release()
    assert first.lost == 1
    assert await world.until_written_by(second) <= 1.2 * RETRY_S + STEP_S


async def test_a_renewal_that_is_cut_off_and_yet_stored_does_not_keep_the_lease_from_being_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await world.leader_and_standby()
    write = world.cluster.replace_lease

    async def write_and_never_answer(lease: Object) -> Object:
        await write(lease)
        never: asyncio.Future[Object] = asyncio.get_running_loop().create_future()
        return await never

    monkeypatch.setattr(world.cluster, "replace_lease", write_and_never_answer)
    renewed = world.spec["renewTime"]
    while world.spec["renewTime"] == renewed:
        await world.pass_time(STEP_S)
    await first.stop()
    monkeypatch.setattr(world.cluster, "replace_lease", write)
    await first.leadership.release()
    assert await world.until_written_by(second) <= 1.2 * RETRY_S + STEP_S


async def test_a_renewal_that_is_stored_while_the_lease_is_given_back_does_not_keep_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.start("first")
    await world.pass_time(1)
    await first.stop()
    write = world.cluster.replace_lease
    late = [world.cluster.see(kinds.LEASE, PLACE)]

    async def write_after_another(lease: Object) -> Object:
        if (stored := late.pop() if late else None) is not None:
            await write({**stored, "spec": stored["spec"] | {"renewTime": "late"}})
        return await write(lease)

    monkeypatch.setattr(world.cluster, "replace_lease", write_after_another)
    await first.leadership.release()
    assert "holderIdentity" not in world.spec
    assert world.spec["renewTime"] == "late"


async def test_one_that_never_held_it_gives_nothing_back(world: World) -> None:
    world.start("first")
    await world.pass_time(1)
    second = world.start("second")
    await world.pass_time(5)
    await second.leadership.release()
    assert world.spec["holderIdentity"] == "first"


async def test_a_frozen_leader_may_write_nothing_when_it_wakes(world: World) -> None:
    first, second = await world.leader_and_standby()
    first.is_frozen = True
    assert await world.until_written_by(second) <= TAKE_OVER_S
    first.is_frozen = False
    assert not first.writes
    await world.pass_time(30)
    assert (first.writes, first.lost) == (False, 1)
    assert second.writes


async def test_a_leader_that_was_frozen_for_longer_than_it_may_write_looks_at_everything_again(world: World) -> None:
    alone = world.start("alone")
    await world.pass_time(1)
    alone.is_frozen = True
    await world.pass_time(RENEW_DEADLINE_S + 1)
    assert not alone.writes
    alone.is_frozen = False
    await world.pass_time(STEP_S)
    assert (alone.writes, alone.gained) == (True, 2)


async def test_a_leader_that_cannot_renew_stops_by_itself_before_another_can_follow(world: World) -> None:
    alone = world.start("alone")
    await world.pass_time(3)
    world.cluster.fail_until_healed("replace_lease", UNREACHABLE)
    world.cluster.fail_until_healed("get", UNREACHABLE)
    await world.pass_time(RENEW_DEADLINE_S + STEP_S)
    assert not alone.writes
    await world.pass_time(RETRY_S)
    assert alone.lost == 1
    world.cluster.heal()
    await world.pass_time(2 * RETRY_S)
    assert (alone.writes, alone.gained) == (True, 2)


async def test_what_it_wrote_last_ends_before_another_can_follow(world: World) -> None:
    leader = world.start("leader")
    await world.pass_time(STEP_S)
    left_s = leader.fence.time_left_s
    assert RENEW_DEADLINE_S < END_OF_WRITES_S < DURATION_S
    assert left_s == pytest.approx(END_OF_WRITES_S, abs=2 * STEP_S)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [UNREACHABLE, ApiError(500, "InternalError", "etcd"), TimeoutError()])
async def test_one_failed_renewal_costs_nothing(world: World, error: Exception, *, after: bool) -> None:
    leader = world.start("leader")
    await world.pass_time(1)
    world.cluster.fail_next("replace_lease", error, after=after)
    for _ in range(200):
        await world.pass_time(STEP_S)
        assert leader.writes
    assert (leader.gained, leader.lost) == (1, 0)


async def test_a_lease_that_is_edited_stays_with_its_holder(world: World) -> None:
    leader = world.start("leader")
    await world.pass_time(1)
    world.start("second")
    await world.pass_time(5)
    world.cluster.edit(kinds.LEASE, PLACE, lambda body: body["metadata"].update(labels={"theirs": "yes"}))
    await world.pass_time(5)
    assert (leader.writes, leader.lost) == (True, 0)


async def test_of_many_that_start_at_once_one_leads(world: World) -> None:
    processes = [world.start(f"process-{number}") for number in range(5)]
    await world.pass_time(20)
    assert [process.gained for process in processes].count(1) == 1
    assert sum(process.gained for process in processes) == 1
