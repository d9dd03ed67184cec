"""Statistics of a run: ratios are taken within each round, so that what slows a round slows both sides. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, and the least and most of them."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}-{self.most:.2f})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def ratios(subject: Sequence[float], other: Sequence[float]) -> Spread:
    """Of two clients, round by round. Raises ValueError where they did not run in the same rounds."""
    return spread([mine / theirs for mine, theirs in zip(subject, other, strict=True)])


@dataclass(frozen=True)
class Figure:
    """One measured value that is to be at most its goal, or at least. ``value`` is NaN where it was not measured.

    ``range`` shows between which values it lay in the single rounds, or why there is none.
    """

    name: str
    value: float
    goal: float
    range: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal  # False for NaN

    @property
    def operator(self) -> str:
        return ">=" if self.at_least else "<="

    def line(self) -> str:
        """`RESULT <name> <value> <op> <goal> met|missed`, for programs."""
        return f"RESULT {self.name} {self.value:.3f} {self.operator} {self.goal:g} {'met' if self.is_met else 'missed'}"


def ratio_figure(name: str, subject: Sequence[float], other: Sequence[float], goal: float) -> Figure:
    found = ratios(subject, other)
    return Figure(name, found.median, goal, f"{found.least:.2f}-{found.most:.2f}")
