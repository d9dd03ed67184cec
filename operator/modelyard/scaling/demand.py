"""What the clients of a service want, per second: prompt and output tokens, whether served or still queued."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import NamedTuple

from modelyard.scaling.meters import Flow
from modelyard.scaling.speed import Speed

KEPT = 128
SPACING_S = 10.0
"""Demand is kept for the last 128 looks, or 21 minutes, whichever is longer."""

_MEAN_OVER_S = 600.0

_LEAST = 1e-100
"""A number that faded below this, after days without a request, leaves no mean."""


class Point(NamedTuple):
    """Demand in the interval that ended at ``time_s``: prompt and output tokens per second."""

    time_s: float
    prompt: float
    output: float


@dataclass(frozen=True)
class Traffic:
    """``points`` are the demand, the oldest first. ``prompt_tokens`` and ``output_tokens`` are those of one request on
    average, by numbers that fade (``first`` and ``finished`` requests).
    """

    points: tuple[Point, ...] = ()
    prompt: float = 0.0
    first: float = 0.0
    output: float = 0.0
    finished: float = 0.0

    @property
    def prompt_tokens(self) -> float:
        return self.prompt / self.first if self.first > _LEAST else 0.0

    @property
    def output_tokens(self) -> float:
        return self.output / max(self.finished, 0.2 * self.first) if self.first > _LEAST else 0.0

    def request_s(self, speed: Speed) -> float:
        """Seconds of a replica's time that a request takes on average."""
        return speed.load(self.prompt_tokens, self.output_tokens)

    def counted(self, flows: Sequence[Flow]) -> "Traffic":
        """With the requests of these intervals in its means."""
        if not flows:
            return self
        fade = exp(-max(flow.duration_s for flow in flows) / _MEAN_OVER_S)
        return replace(
            self,
            prompt=self.prompt * fade + sum(flow.prompt * flow.duration_s for flow in flows),
            first=self.first * fade + sum(flow.first * flow.duration_s for flow in flows),
            output=self.output * fade + sum(flow.output * flow.duration_s for flow in flows),
            finished=self.finished * fade + sum(flow.finished * flow.duration_s for flow in flows),
        )

    def at(self, now_s: float, flows: Sequence[Flow]) -> Point:
        """The demand that these intervals show: what was served, and by how much the work in hand grew."""
        growth = sum(_waiting_growth(flow) for flow in flows)
        begun = sum(max(flow.running_growth, -_ended(flow)) for flow in flows if flow.tokens) / 2
        prompt = sum(flow.prompt for flow in flows) + growth * self.prompt_tokens
        output = sum(flow.output for flow in flows) + (growth + begun) * self.output_tokens
        return Point(now_s, max(prompt, 0.0), max(output, 0.0))

    def with_point(self, point: Point) -> "Traffic":
        """With one more look; looks in quick succession are averaged."""
        points = self.points
        if len(points) > 1 and point.time_s - points[-2].time_s < SPACING_S:
            last = points[-1]
            merged = Point(point.time_s, (last.prompt + point.prompt) / 2, (last.output + point.output) / 2)
            return replace(self, points=(*points[:-1], merged))
        return replace(self, points=(*points, point)[-KEPT:])

    def loads(self, speed: Speed) -> list[tuple[float, float]]:
        """(time, demand in replicas' time) of the past, at today's speed."""
        return [(time_s, speed.load(prompt, output)) for time_s, prompt, output in self.points]


def _waiting_growth(flow: Flow) -> float:
    """Without requests that were dropped, which would seem to be less demand at others: a queue shrinks by what is
    admitted.
    """
    return max(flow.waiting_growth, -max(flow.running_growth + _ended(flow), 0.0))


def _ended(flow: Flow) -> float:
    """Requests per second that stopped running."""
    return flow.finished + flow.preemptions
