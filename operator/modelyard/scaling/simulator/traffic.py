"""Made traffic: arrivals from rates, of which each is a Poisson process, or burstier. Deterministic by its seed."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import exp, log

from modelyard.scaling.simulator.clients import Arrival

Lengths = Callable[[random.Random, float], tuple[int, int]]
"""Draws the input and output tokens of a request that arrives at a time in seconds since the start."""

Rates = Sequence[tuple[float, float]]
"""(time, requests per second from then on), by time; the last one ends the traffic."""


def arrivals(rates: Rates, lengths: Lengths, seed: int, variation: float = 1.0) -> list[Arrival]:
    """Requests at these rates. ``variation`` is the coefficient of variation of the times between them where the rate
    is constant: 1 for a Poisson process, more for bursts.
    """
    chance = random.Random(seed)
    shape = 1 / variation**2
    found: list[Arrival] = []
    expected = chance.gammavariate(shape, 1 / shape)  # number of requests at which the next one comes, by the rates
    passed = 0.0
    for (start_s, per_s), (end_s, _) in pairwise(rates):
        within = per_s * (end_s - start_s)
        while expected < passed + within:
            time_s = start_s + (expected - passed) / per_s
            found.append(Arrival(time_s, *lengths(chance, time_s)))
            expected += chance.gammavariate(shape, 1 / shape)
        passed += within
    return found


def constant(per_s: float, duration_s: float) -> Rates:
    """The same rate all the time."""
    return [(0.0, per_s), (duration_s, 0.0)]


def spike(per_s: float, factor: float, from_s: float, until_s: float, duration_s: float) -> Rates:
    """A constant rate, and ``factor`` times that between two times."""
    return [(0.0, per_s), (from_s, per_s * factor), (until_s, per_s), (duration_s, 0.0)]


_INPUT_SIGMA = 1.0


def draw_lengths(chance: random.Random, mean_input: float, mean_output: float) -> tuple[int, int]:
    """Tokens of one request: inputs are lognormal and outputs exponential around their means, as ServeGen found in
    production (arXiv 2505.09999).
    """
    median = log(max(mean_input, 1.0)) - _INPUT_SIGMA**2 / 2
    tokens_in = exp(chance.gauss(median, _INPUT_SIGMA))
    return max(round(tokens_in), 1), max(round(chance.expovariate(1 / max(mean_output, 1.0))), 1)


def lengths_from(pairs: Sequence[tuple[int, int]]) -> Lengths:
    """Drawn from those recorded."""
    return lambda chance, _: chance.choice(pairs)
