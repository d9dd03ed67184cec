"""Made traffic, recorded traces, and what no policy can be below."""

import random
from itertools import pairwise
from statistics import mean, pstdev

import pytest

from modelyard.scaling.simulator.bound import Work, least_device_hours
from modelyard.scaling.simulator.clients import Arrival, OpenLoop
from modelyard.scaling.simulator.engine import Engine
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.profiles import PROFILES
from modelyard.scaling.simulator.traffic import arrivals, constant, draw_lengths, lengths_from, spike

LENGTHS = lengths_from([(100, 10)])


def times_between(found: list[Arrival]) -> tuple[float, float]:
    """Mean and coefficient of variation."""
    gaps_s = [after.time_s - before.time_s for before, after in pairwise(found)]
    return mean(gaps_s), pstdev(gaps_s) / mean(gaps_s)


def test_poisson_arrivals_have_their_rate_and_as_much_variation() -> None:
    mean_s, variation = times_between(arrivals(constant(5.0, 4000), LENGTHS, seed=1))
    assert mean_s == pytest.approx(0.2, rel=0.03)
    assert variation == pytest.approx(1.0, abs=0.05)


def test_bursty_arrivals_have_the_same_rate_and_more_variation() -> None:
    mean_s, variation = times_between(arrivals(constant(5.0, 8000), LENGTHS, seed=1, variation=2.0))
    assert mean_s == pytest.approx(0.2, rel=0.05)
    assert variation == pytest.approx(2.0, abs=0.15)


def test_a_spike_is_as_high_as_it_says_and_over_when_it_says() -> None:
    found = [arrival.time_s for arrival in arrivals(spike(2.0, 5.0, 1000, 2000, 3000), LENGTHS, seed=3)]
    counts = [sum(low <= time_s < low + 1000 for time_s in found) for low in (0, 1000, 2000)]
    assert counts == [pytest.approx(2000, rel=0.1), pytest.approx(10_000, rel=0.05), pytest.approx(2000, rel=0.1)]
    assert max(found) < 3000


def test_a_rate_of_zero_gives_nothing_and_what_follows_still_comes() -> None:
    found = arrivals([(0.0, 1.0), (500.0, 0.0), (1000.0, 1.0), (1500.0, 0.0)], LENGTHS, seed=2)
    assert not [arrival for arrival in found if 500 <= arrival.time_s < 1000]
    assert sum(arrival.time_s >= 1000 for arrival in found) == pytest.approx(500, rel=0.15)


def test_traffic_repeats_by_its_seed() -> None:
    lengths = lengths_from([(100, 10), (800, 100)])
    assert arrivals(constant(1, 500), lengths, 1) == arrivals(constant(1, 500), lengths, 1)
    assert arrivals(constant(1, 500), lengths, 1) != arrivals(constant(1, 500), lengths, 2)


def test_lengths_are_around_their_means() -> None:
    chance = random.Random(5)
    drawn = [draw_lengths(chance, 800, 100) for _ in range(20_000)]
    assert sum(one for one, _ in drawn) / len(drawn) == pytest.approx(800, rel=0.05)
    assert sum(one for _, one in drawn) / len(drawn) == pytest.approx(100, rel=0.05)
    assert min(min(pair) for pair in drawn) >= 1


def _busy_s(profile: EngineProfile, requests: list[Arrival]) -> float:
    """How long one engine takes for requests that are all there at once."""
    engine = Engine(profile, 0.0)
    for request in OpenLoop(requests).opening(0.0):
        assert engine.submit(request, 0.0)
    while engine.next_s < float("inf"):
        last_s = engine.next_s
        engine.advance(last_s)
    return last_s


@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize("lengths", [(100, 200), (2000, 20), (1155, 211)])
def test_no_engine_is_faster_than_the_bound_and_a_full_one_comes_near(name: str, lengths: tuple[int, int]) -> None:
    profile = PROFILES[name]
    requests = [Arrival(0.0, *lengths) for _ in range(1500)]
    least_s, taken_s = Work(profile).seconds(requests), _busy_s(profile, requests)
    assert 0.4 * taken_s < least_s <= taken_s


def test_the_bound_counts_what_arrives_in_time_and_the_minimum_of_replicas() -> None:
    profile = EngineProfile("p", ((1, 1.0), (2, 2.0)), 0.0, 1000, devices=2)
    requests = [Arrival(time_s, 36, 1) for time_s in (0.0, 50.0, 4000.0)]
    one_s = Work(profile).seconds(requests[:1])
    assert one_s == pytest.approx(36.0)
    assert least_device_hours(requests, profile, 0, 3600, 0) == pytest.approx(2 * 2 * one_s / 3600)
    assert least_device_hours(requests, profile, 0, 3600, 3) == pytest.approx(3 * 2)
