"""Which connection is far below the others."""

from modelyard.fetcher.transport.slowness import Pace

FAST = 500_000_000, 5.0
SLOW = 50, 5.0


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_connection_far_below_the_others_is_found() -> None:
    pace = Pace()
    assert not any(pace.is_far_below(*FAST) for _ in range(3))
    assert pace.is_far_below(*SLOW)


def test_connections_that_ended_before_are_what_the_last_one_is_held_against() -> None:
    pace = Pace()
    pace.note(*FAST)
    assert pace.is_far_below(*SLOW)


def test_a_connection_alone_is_never_far_below() -> None:
    pace = Pace()
    assert not pace.is_far_below(*SLOW)
    assert not pace.is_far_below(*SLOW)


def test_a_link_that_becomes_slow_for_all_replaces_them_for_a_minute_at_most() -> None:
    time = Time()
    pace = Pace(time)
    for _ in range(8):
        pace.note(*FAST)
    assert pace.is_far_below(*SLOW)
    time.now_s += 61.0
    assert not pace.is_far_below(*SLOW)


def test_a_connection_that_ended_after_a_few_bytes_is_not_judged() -> None:
    pace = Pace()
    pace.note(1000, 0.00001)
    assert not pace.is_far_below(*SLOW)
