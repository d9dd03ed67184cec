"""Windows of recommendations: up waits for the lowest within one, down for the highest, as an HPA does."""

from collections.abc import Sequence
from typing import NamedTuple

from modelyard.api.scaling import ScalingRules

DEFAULT_UP_S = 0
DEFAULT_DOWN_S = 300
LONGEST_S = 3600


class Recommendation(NamedTuple):
    """What was needed (``up``) and enough (``down``) at a time."""

    time_s: float
    up: int
    down: int


def up_window_s(rules: ScalingRules) -> int:
    return DEFAULT_UP_S if rules.stabilization_window_seconds is None else rules.stabilization_window_seconds


def down_window_s(rules: ScalingRules) -> int:
    return DEFAULT_DOWN_S if rules.stabilization_window_seconds is None else rules.stabilization_window_seconds


def kept(past: Sequence[Recommendation], new: Recommendation, window_s: float) -> tuple[Recommendation, ...]:
    """What is to be remembered: runs of equal recommendations within the window, each by its first and last."""
    recent = [old for old in past if old.time_s > new.time_s - window_s]
    if len(recent) >= 2 and recent[-1][1:] == recent[-2][1:] == new[1:]:
        recent.pop()
    return (*recent, new)[-512:]


def lowest_up(past: Sequence[Recommendation], up: int, now_s: float, window_s: float) -> int:
    """What was needed all the time within the window."""
    return min([up, *(old.up for old in past if old.time_s > now_s - window_s)])


def highest_down(past: Sequence[Recommendation], down: int, now_s: float, window_s: float) -> int:
    """What was enough all the time within the window."""
    return max([down, *(old.down for old in past if old.time_s > now_s - window_s)])
