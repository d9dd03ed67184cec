"""Until when a process may write."""

import pytest

from modelyard.controller.cluster.fence import Fence, always_open


class World:
    now_s = 100.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def fence(world: World) -> Fence:
    return Fence(lambda: world.now_s)


def test_nothing_may_be_written_before_it_is_opened(fence: Fence) -> None:
    assert fence.time_left_s == 0


@pytest.mark.parametrize(("now_s", "left_s"), [(100.0, 9.0), (105.9, 3.1), (106.0, 0.0), (108.0, 0.0), (500.0, 0.0)])
def test_it_closes_by_time_alone_and_what_began_must_end_in_time(
    fence: Fence, world: World, now_s: float, left_s: float
) -> None:
    fence.open(begin_until_s=106.0, end_by_s=109.0)
    world.now_s = now_s
    assert fence.time_left_s == pytest.approx(left_s)


def test_a_closed_fence_lets_no_call_begin(fence: Fence) -> None:
    fence.open(begin_until_s=106.0, end_by_s=109.0)
    fence.close()
    assert fence.time_left_s == 0


def test_an_operator_without_a_lease_may_write_as_long_as_it_takes() -> None:
    assert always_open().time_left_s == float("inf")
