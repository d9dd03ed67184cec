"""What no policy can be below: the least time that engines need for given requests, however they are scheduled.

Every iteration takes at least ``base + slope * tokens``, a line below the profile's table, plus what it reads. Each
token is computed once, so the slopes' part is that of all tokens; and there are at least so many iterations as decodes
that fit one: by the limit of running requests, and by the KV cache, in which all of them have their context.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.profile import EngineProfile


class Work:
    """Least seconds of an engine for a request, and for many of them together the same, summed."""

    def __init__(self, profile: EngineProfile) -> None:
        self._profile = profile
        self._lines = tuple(_lines_below(profile.table()))

    def seconds(self, requests: Iterable[Arrival]) -> float:
        """Least seconds of engines that are needed to complete the requests."""
        tokens = decodes = read = 0
        for request in requests:
            steps = request.output_tokens - 1
            tokens += max(request.input_tokens - request.cached_tokens, 1) + steps
            decodes += steps
            read += steps * request.input_tokens + steps * (steps + 1) // 2
        iterations = max(decodes / self._profile.running_limit, read / self._profile.kv_capacity_tokens)
        return max(base * iterations + slope * tokens for base, slope in self._lines) + self._profile.kv_read_s * read


def _lines_below(table: Sequence[float]) -> Iterable[tuple[float, float]]:
    """(base, slope) of the lines of the lower convex hull of the iteration times: each is at or below all of them."""
    hull: list[int] = []
    for tokens in range(1, len(table)):
        while len(hull) > 1 and _is_above(table, hull[-2], hull[-1], tokens):
            hull.pop()
        hull.append(tokens)
    for left, right in pairwise(hull):
        slope = (table[right] - table[left]) / (right - left)
        base = table[left] - slope * left
        if base >= 0:
            yield base, slope
    last = len(table) - 1
    yield 0.0, min(table[tokens] / tokens for tokens in range(1, last + 1))


def _is_above(table: Sequence[float], left: int, middle: int, right: int) -> bool:
    chord = table[left] + (table[right] - table[left]) * (middle - left) / (right - left)
    return table[middle] >= chord


def least_device_hours(
    arrivals: Sequence[Arrival], profile: EngineProfile, from_s: float, until_s: float, minimum: int
) -> float:
    """A lower bound of the device-hours between two times, for any policy that completes what arrives between them by
    then, with ``minimum`` replicas at least.
    """
    needed_s = Work(profile).seconds(arrival for arrival in arrivals if from_s <= arrival.time_s < until_s)
    return max(needed_s, minimum * (until_s - from_s)) * profile.devices / 3600
