"""When something comes on too slowly to wait for it any longer."""

import pytest

from modelyard.fetcher.transport.slowness import LOWEST_BYTES_PER_S, StallClock


class Time:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(time: Time) -> StallClock:
    return StallClock(20.0, time)


def test_silence_ends_at_the_limit_and_is_retried_at_half(clock: StallClock, time: Time) -> None:
    assert clock.patience_s == 10.0
    time.now_s += 10.0
    assert clock.patience_s == 20.0
    assert not clock.is_over
    time.now_s += 10.0
    assert clock.is_over
    assert clock.problem == "timed out"


def test_a_trickle_does_not_count_as_coming_on(clock: StallClock, time: Time) -> None:
    for _ in range(20):
        time.now_s += 1.0
        clock.add(10)
    assert clock.is_over
    assert "trickles" in clock.problem


def test_bytes_enough_begin_the_time_anew(clock: StallClock, time: Time) -> None:
    time.now_s += 19.0
    clock.add(20 * LOWEST_BYTES_PER_S)
    time.now_s += 19.0
    assert not clock.is_over


def test_what_its_user_calls_progress_begins_the_time_anew(clock: StallClock, time: Time) -> None:
    time.now_s += 19.0
    clock.came_on()
    assert clock.stalled_s == 0.0


def test_time_in_which_nothing_is_waited_for_does_not_count(clock: StallClock, time: Time) -> None:
    time.now_s += 5.0
    clock.pause()
    time.now_s += 1000.0
    assert clock.stalled_s == 5.0
    clock.resume()
    time.now_s += 1.0
    assert clock.stalled_s == 6.0


def test_a_stall_clock_that_was_ended_is_over_at_once(clock: StallClock) -> None:
    clock.end()
    assert clock.is_over
