"""Attainment against GPU-hours: which settings are worth having, and what equal attainment costs. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from statistics import mean

from modelyard.scaling.simulator.score import Score


@dataclass(frozen=True)
class Point:
    """What a setting came to, on average."""

    setting: str
    attainment: float
    hours: float
    changes_per_hour: float

    @classmethod
    def of(cls, setting: str, scores: Sequence[Score]) -> "Point":
        return cls(
            setting,
            mean(score.attainment for score in scores),
            mean(score.device_hours for score in scores),
            mean(score.replicas_changed_per_hour for score in scores),
        )


def front(points: Iterable[Point]) -> list[Point]:
    """Those that no other one beats in both, by attainment."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: (-one.attainment, one.hours)):
        if not kept or point.hours < kept[-1].hours:
            kept.append(point)
    return kept[::-1]


def at(points: Iterable[Point], attainment: float) -> tuple[float, float]:
    """GPU-hours and changes per hour of the front at an attainment, linear between its points. Below the front it is
    its cheapest point, beyond it infinitely much.
    """
    line = front(points)
    if not line or attainment > line[-1].attainment:
        return inf, inf
    if attainment <= line[0].attainment:
        return line[0].hours, line[0].changes_per_hour
    for low, high in pairwise(line):
        if attainment <= high.attainment:
            share = (attainment - low.attainment) / (high.attainment - low.attainment)
            return (
                low.hours + share * (high.hours - low.hours),
                low.changes_per_hour + share * (high.changes_per_hour - low.changes_per_hour),
            )
    raise AssertionError("the front covers the attainment")


TARGETS = (0.95, 0.98, 0.99, 0.995, 0.998)
"""What is tuned for: which of the settings is cheapest at this attainment on the training days. They reach beyond what
our policy attains, or no baseline would have been tuned for as much.
"""


def tuned(points: Sequence[Point]) -> dict[float, str]:
    """The setting for each target: the cheapest that attains it, or the best where none does."""
    chosen: dict[float, str] = {}
    for target in TARGETS if points else ():
        enough = [point for point in points if point.attainment >= target]
        best = min(enough, key=lambda one: one.hours) if enough else max(points, key=lambda one: one.attainment)
        chosen[target] = best.setting
    return chosen


def cheapest(fronts: Mapping[str, Sequence[Point]], attainment: float) -> tuple[str, float, float]:
    """The family that is cheapest at an attainment, with its GPU-hours and changes per hour there. Where none attains
    it: the one that comes nearest, at what that costs, which is in its favour.
    """
    found = {family: at(points, attainment) for family, points in fronts.items() if points}
    family = min(found, key=lambda name: found[name])
    if found[family][0] < inf:
        return family, *found[family]
    nearest, point = max(
        ((name, one) for name, points in fronts.items() for one in points), key=lambda pair: pair[1].attainment
    )
    return nearest, point.hours, point.changes_per_hour
