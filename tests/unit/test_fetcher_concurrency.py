"""The number of connections that is found on links of different kinds."""

import itertools
from collections.abc import Callable

import pytest

from modelyard.fetcher.download.connection_count import FIRST, ConnectionCount

MB = 1_000_000
Link = Callable[[int], float]
"""Bytes per second with so many connections."""


def per_connection(bytes_per_s: float, at_most: float = 1e18) -> Link:
    return lambda connections: min(at_most, connections * bytes_per_s)


def run(controller: ConnectionCount, link: Link, seconds: float, begin_s: float = 0.0) -> list[int]:
    """The number of connections at each of its samples, 20 a second."""
    bytes_total, seen = 1.0, []
    for tick in range(round(seconds * 20)):
        connections = controller.sample(begin_s + tick / 20, int(bytes_total))
        bytes_total += link(connections) / 20
        seen.append(connections)
    return seen


def test_a_store_that_gives_each_connection_little_gets_many_within_one_second() -> None:
    assert run(ConnectionCount(32), per_connection(90 * MB), 1)[-1] == 32


def test_a_link_that_a_few_connections_fill_keeps_few() -> None:
    seen = run(ConnectionCount(32), per_connection(500 * MB, at_most=1200 * MB), 60)
    assert max(seen) <= 2 * FIRST
    assert seen.count(FIRST) > 0.95 * len(seen)


def test_a_link_that_twelve_connections_fill_gets_at_most_twice_as_many() -> None:
    seen = run(ConnectionCount(64), per_connection(90 * MB, at_most=1100 * MB), 20)
    assert 12 <= seen[-1] <= 24


def test_a_link_that_eight_connections_fill_is_not_left_at_the_first_ones() -> None:
    seen = run(ConnectionCount(32), per_connection(90 * MB, at_most=700 * MB), 20)
    assert seen[-1] == 2 * FIRST


def test_a_disk_that_stops_for_a_moment_is_not_taken_for_a_slow_link() -> None:
    ticks = itertools.count(1)

    def link(connections: int) -> float:
        return 0.0 if 3 <= next(ticks) < 9 else min(1200 * MB, connections * 500 * MB)

    assert max(run(ConnectionCount(32), link, 5)) <= 2 * FIRST


def test_a_link_on_which_hardly_anything_comes_is_not_waited_for() -> None:
    ticks = itertools.count(1)

    def link(connections: int) -> float:
        return connections * 10.0 * MB if next(ticks) % 8 == 0 else 0.0

    assert run(ConnectionCount(32), link, 5)[-1] > FIRST


def test_the_limit_is_kept() -> None:
    assert max(run(ConnectionCount(3), per_connection(90 * MB), 10)) == 3


def test_a_link_that_gets_slower_by_more_connections_goes_back() -> None:
    seen = run(ConnectionCount(32), lambda connections: 1000 * MB - connections * 10 * MB, 1)
    assert seen[-1] == FIRST


def test_throttling_halves_and_pauses() -> None:
    controller = ConnectionCount(32)
    run(controller, per_connection(90 * MB), 3)
    controller.throttled(3.0)
    assert controller.connections == 16
    assert set(run(controller, per_connection(90 * MB), 4, begin_s=3.0)) == {16}


def test_a_link_that_becomes_wider_is_found_out() -> None:
    controller = ConnectionCount(32)
    assert run(controller, per_connection(500 * MB, at_most=600 * MB), 2)[-1] == FIRST
    assert run(controller, per_connection(90 * MB), 10, begin_s=2.0)[-1] == 32


@pytest.mark.parametrize("bytes_total", [0, -5])
def test_nothing_is_decided_before_the_first_byte(bytes_total: int) -> None:
    controller = ConnectionCount(32)
    assert {controller.sample(second, bytes_total) for second in range(9)} == {FIRST}
