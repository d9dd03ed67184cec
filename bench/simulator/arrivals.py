"""What is sent in a measured run: the same requests at the same times in each, by their seed. Pure."""

import random

from modelyard.scaling.simulator.clients import Arrival

PHASES = (0.5, 0.9, 1.3, 0.3)
"""Rates of arrivals, as shares of the engine's capacity: a queue builds up in the third, and goes in the fourth."""

PROMPTS = (16, 96)
OUTPUTS = (8, 40)
"""Fewest and most tokens; every number in between is as likely."""

MEAN_OUTPUT = sum(OUTPUTS) / 2


def lengths(chance: random.Random) -> tuple[int, int]:
    """Tokens of a prompt and of its answer."""
    return chance.randint(*PROMPTS), chance.randint(*OUTPUTS)


def phased(capacity_per_s: float, phase_s: float, seed: int) -> list[Arrival]:
    """Poisson arrivals in phases of ``phase_s`` seconds each, by how many requests the engine completes per second.

    Each phase has as many as its rate makes, at random times: of a Poisson process of a few dozen arrivals, one in
    three has over a tenth more or fewer, and then its load would be another one than the phase is for.
    """
    chance = random.Random(seed)
    times_s = [
        (number + chance.random()) * phase_s
        for number, share in enumerate(PHASES)
        for _ in range(round(share * capacity_per_s * phase_s))
    ]
    return [Arrival(time_s, *lengths(chance)) for time_s in sorted(times_s)]
