"""How fast an engine is, learnt while it serves: seconds for an iteration, a prompt token and an output token.

While an engine does not pause, its time is spent: per second, ``steps x step_s + prompt x prompt_s + output x
output_s = 1``. The three figures are fitted to that, over intervals of few and of many requests alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log2

from modelyard.scaling.meters import Flow

_LEVELS = 12
"""Intervals are kept apart by the number of requests that ran, in powers of two: a quiet hour leaves what was learnt
under load as it is.
"""

_REMEMBERED = 60
"""Intervals of one level after which an old one has lost most of its weight: a quarter of an hour of one replica."""

_GUESS = (0.02, 2e-4, 6e-4)
"""Seconds before anything was learnt."""

_GUESS_WEIGHTS = (0.004, 2e-5, 2e-5)
"""A few busy intervals that differ outweigh them. Where all are alike, they cannot show what part of an iteration's
time its tokens take: then the guess for the iteration decides.
"""

_LEAST_SHARE = 0.01
"""A fit may find that tokens take no time, which no load could be measured with: each takes this share of the guess."""

_LONGER_PER_REQUEST = 0.08
"""By how much each request in hand lengthens an iteration, relative to what it takes by itself: a guess, from the
profiles in simulator/profiles.py; 0.04 to 0.09 there.
"""

_LONGEST_GUESS_S = 0.04

_MOST_DOUBT = 0.2
_DOUBTFUL_VARIANCE = 0.003
"""Relative variance of the iterations per second at which half of the doubt is left: 5 % more or fewer."""

Row = tuple[float, float, float]


@dataclass(frozen=True)
class Moments:
    """Means over the intervals of one level: products of the three figures, the figures, and requests in hand."""

    number: float
    products: tuple[float, float, float, float, float, float]
    means: Row
    requests: float

    def with_row(self, row: Row, requests: float) -> "Moments":
        """With one more interval."""
        share = 1 / min(self.number + 1, _REMEMBERED)
        x, y, z = row
        new = (x * x, x * y, x * z, y * y, y * z, z * z)
        products = tuple(old + share * (value - old) for old, value in zip(self.products, new, strict=True))
        means = tuple(old + share * (value - old) for old, value in zip(self.means, row, strict=True))
        in_hand = self.requests + share * (requests - self.requests)
        return Moments(self.number + 1, products, means, in_hand)  # type: ignore[arg-type] # zip keeps the lengths


_NONE = Moments(0, (0, 0, 0, 0, 0, 0), (0, 0, 0), 0)


@dataclass(frozen=True)
class Speed:
    """Seconds of an engine's time: for an iteration whatever it computes, for a prompt token, for an output token.

    ``intervals`` is the number of busy ones that were seen, ``doubt`` by what share a load may be larger than the
    figures say, since all of them were much alike. An engine that counts no tokens has ``prompt_s`` for a
    request.
    """

    step_s: float = _GUESS[0]
    prompt_s: float = _GUESS[1]
    output_s: float = _GUESS[2]
    intervals: int = 0
    doubt: float = _MOST_DOUBT
    levels: tuple[Moments, ...] = (_NONE,) * _LEVELS

    @property
    def known(self) -> bool:
        """Whether any busy interval was seen."""
        return self.intervals > 0

    def load(self, prompt: float, output: float) -> float:
        """Share of a replica's time that so many tokens per second take, without what iterations take by themselves."""
        return prompt * self.prompt_s + output * self.output_s

    def learnt(self, flows: Iterable[Flow]) -> "Speed":
        """With what these intervals show."""
        levels = list(self.levels)
        intervals = self.intervals
        for flow in flows:
            row = (flow.steps or 0.0, flow.prompt, flow.output)
            if not any(row) or not (flow.busy or self._time(row) > 1):
                continue
            level = min(int(log2(flow.running + flow.waiting + 1)), _LEVELS - 1)
            levels[level] = levels[level].with_row(row, flow.running)
            intervals += 1
        if intervals == self.intervals:
            return self
        step_s, prompt_s, output_s = _fit(levels)
        prompt_s, output_s = max(prompt_s, _LEAST_SHARE * _GUESS[1]), max(output_s, _LEAST_SHARE * _GUESS[2])
        return Speed(step_s, prompt_s, output_s, intervals, _doubt(levels), tuple(levels))

    def _time(self, row: Row) -> float:
        return row[0] * self.step_s + row[1] * self.prompt_s + row[2] * self.output_s


def _fit(levels: Sequence[Moments]) -> Row:
    """The figures, none negative, that come nearest to 1 in every level, and to the guess where nothing is known."""
    seen = [level for level in levels if level.number]
    weights = [min(level.number, 8) / 8 for level in seen]
    total = sum(weights)
    products = [sum(w * level.products[at] for w, level in zip(weights, seen, strict=True)) / total for at in range(6)]
    means = [sum(w * level.means[at] for w, level in zip(weights, seen, strict=True)) / total for at in range(3)]
    # In units of the guess, so that the three weigh alike; drawn towards it a little.
    a, b, c, d, e, f = products
    matrix = [[a, b, c], [b, d, e], [c, e, f]]
    guess = _guess(levels)
    pulls = [weight / total for weight in _GUESS_WEIGHTS]
    scaled = [[matrix[i][j] * guess[i] * guess[j] + pulls[i] * (i == j) for j in range(3)] for i in range(3)]
    right = [means[i] * guess[i] + pulls[i] for i in range(3)]
    best: Row = guess
    least = float("inf")
    for used in ((0, 1, 2), *combinations(range(3), 2), (0,), (1,), (2,)):
        solved = _solve(scaled, right, used)
        if solved is None or min(solved) < 0:
            continue
        error = sum(solved[i] * (sum(scaled[i][j] * solved[j] for j in range(3)) - 2 * right[i]) for i in range(3))
        if error < least:
            least, best = error, (solved[0] * guess[0], solved[1] * guess[1], solved[2] * guess[2])
        if len(used) == 3:
            break
    return best


def _doubt(levels: Iterable[Moments]) -> float:
    seen = [level for level in levels if level.number]
    mean = sum(level.means[0] for level in seen) / len(seen)
    if not mean:
        return 0.0
    variance = sum(level.products[0] for level in seen) / len(seen) / (mean * mean) - 1
    return _MOST_DOUBT * _DOUBTFUL_VARIANCE / (max(variance, 0.0) + _DOUBTFUL_VARIANCE)


def _guess(levels: Sequence[Moments]) -> Row:
    """With what the lowest level shows of an iteration that computes nothing."""
    lowest = next(level for level in levels if level.number)
    steps = lowest.means[0]
    if not steps:
        return _GUESS
    return (min(1 / steps / (1 + _LONGER_PER_REQUEST * lowest.requests), _LONGEST_GUESS_S), _GUESS[1], _GUESS[2])


def _solve(matrix: list[list[float]], right: list[float], used: tuple[int, ...]) -> list[float] | None:
    """The unknowns ``used`` of the normal equations, the others zero; None where they leave it open."""
    rows = [[*(matrix[i][j] for j in used), right[i]] for i in used]
    size = len(used)
    for at in range(size):
        pivot = max(range(at, size), key=lambda row: abs(rows[row][at]))
        rows[at], rows[pivot] = rows[pivot], rows[at]
        if abs(rows[at][at]) < 1e-12:
            return None
        for other in range(size):
            if other != at:
                factor = rows[other][at] / rows[at][at]
                rows[other] = [x - factor * y for x, y in zip(rows[other], rows[at], strict=True)]
    solved = [0.0, 0.0, 0.0]
    for at, unknown in enumerate(used):
        solved[unknown] = rows[at][size] / rows[at][at]
    return solved
