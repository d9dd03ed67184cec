"""How much load one replica is given: as much as keeps the objective, the KV cache and the running limit in bound.

Load is the share of a replica's time that its tokens take (speed.py). What it means for the rest follows from how an
engine batches: an iteration takes ``step / (1 - load)``, and the requests in hand grow as ``load / (1 - load)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, sqrt

from modelyard.scaling.meters import Flow
from modelyard.scaling.speed import Speed

DEFAULT_FIRST_TOKEN_S = 3.0
DEFAULT_OUTPUT_TOKEN_S = 0.2

HIGHEST = 0.85
"""Beyond it, the queues of requests that arrive at random grow without measure."""
FULL = 0.95
HIGHEST_SHARE = 0.96
"""The share of a full replica's load beyond which no evidence raises the limit."""
LOWEST = 0.25
"""An objective that the engine cannot meet at any load must not call for replicas without end."""

OUTPUT_TOKEN_SHARE = 0.85
"""Mean time per output token, as a share of the objective for most requests."""

KV_HIGHEST = 0.9
SPREAD = 1.6
"""Standard deviations by which the number of requests in hand may exceed its mean before the cache is full."""

_LEARNT_OVER = 40.0

LATE_SHARE = 0.01
"""The share of requests that may miss the objective while replicas are loaded as planned. A larger one lowers the
limits, a smaller one raises them.
"""

TRIM_PER_LOOK = 0.0006
"""What a look without a late request adds: a seventh within an hour. One with many takes eight times that at most."""

MOST_LATE = 9.0
LOWEST_TRIM, HIGHEST_TRIM = 0.75, 1.2
_ENOUGH_JUDGED = 20.0


@dataclass(frozen=True)
class Objective:
    """Seconds that most requests should take at most: to the first token, and for each further one."""

    first_token_s: float = DEFAULT_FIRST_TOKEN_S
    output_token_s: float = DEFAULT_OUTPUT_TOKEN_S


@dataclass(frozen=True)
class Limit:
    """The load that a replica is given, and what binds it, in words."""

    load: float
    why: str


@dataclass(frozen=True)
class Carried:
    """What load brings with it: KV usage and requests in hand at a load of one half, and how many requests fill the KV
    cache. None before it was seen. ``trim`` is by how much the limits are raised or lowered, since the objective was
    attained more or less often than was planned for.
    """

    kv_at_half: float | None = None
    running_at_half: float | None = None
    requests_to_fill: float | None = None
    trim: float = 1.0

    def learnt(self, flows: Sequence[Flow], speed: Speed) -> "Carried":
        """With what these intervals show."""
        carried = self
        for flow in flows:
            load = min(speed.load(flow.prompt, flow.output), 0.97)
            if not flow.busy or load < 0.1:
                continue
            odds = load / (1 - load)
            carried = replace(carried, running_at_half=_mean(carried.running_at_half, flow.running / odds))
            if flow.kv_usage is not None and flow.kv_usage > 0.01 and flow.running >= 1:
                carried = replace(
                    carried,
                    kv_at_half=_mean(carried.kv_at_half, flow.kv_usage / odds),
                    requests_to_fill=_mean(carried.requests_to_fill, flow.running / flow.kv_usage),
                )
        return carried

    @property
    def highest(self) -> float:
        """The load at which a replica is full."""
        return min(FULL, _load_at(1 / self.kv_at_half)) if self.kv_at_half else FULL

    def limit(self, speed: Speed, objective: Objective, running_limit: float | None) -> Limit:
        """The most that a replica is given."""
        limits = [Limit(HIGHEST, "queueing")]
        if speed.step_s > 0:
            share = 1 - speed.step_s / (OUTPUT_TOKEN_SHARE * objective.output_token_s)
            limits.append(Limit(share, "the time per output token"))
        if self.kv_at_half and self.requests_to_fill:
            usage = min(_mean_that_fits(self.requests_to_fill) / self.requests_to_fill, KV_HIGHEST)
            limits.append(Limit(_load_at(usage / self.kv_at_half), "the KV cache"))
        if running_limit and self.running_at_half:
            running = min(_mean_that_fits(running_limit), KV_HIGHEST * running_limit)
            limits.append(Limit(_load_at(running / self.running_at_half), "the engine's limit of running requests"))
        lowest = min(limits, key=lambda limit: limit.load)
        load = min(lowest.load * self.trim, HIGHEST_SHARE * self.highest)
        return replace(lowest, load=max(load, LOWEST))

    def trimmed(self, late: float, judged: float) -> "Carried":
        """After so many requests missed the objective, of those that were judged while replicas were loaded as planned.

        The trim settles where the share of late ones is as planned for.
        """
        if not judged:
            return self
        weight = TRIM_PER_LOOK * min(judged / _ENOUGH_JUDGED, 1.0)
        trim = self.trim * exp(weight * (1 - min(late / judged / LATE_SHARE, MOST_LATE)))
        return replace(self, trim=min(max(trim, LOWEST_TRIM), HIGHEST_TRIM))


def _mean_that_fits(number: float) -> float:
    """The mean of a number that varies as random arrivals do and seldom exceeds ``number``."""
    root = (sqrt(SPREAD * SPREAD + 4 * number) - SPREAD) / 2
    return max(root * root, 0.25 * number)


def _load_at(odds: float) -> float:
    return odds / (1 + odds)


def _mean(before: float | None, value: float) -> float:
    return value if before is None else before + (value - before) / _LEARNT_OVER
