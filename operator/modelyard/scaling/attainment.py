"""How many requests attained the objective since the last look, by the engines' own histograms."""

from collections.abc import Iterable
from math import inf

from modelyard.integrations.signals.engine_metrics import Histogram
from modelyard.scaling.limits import Objective
from modelyard.scaling.meters import Meter


def judged(meters: Iterable[Meter], objective: Objective) -> tuple[float, float]:
    """How many requests missed the objective in the last interval, and how many could be judged.

    First tokens and further ones are of different requests, so the worse of the two shares counts.
    """
    late = total = 0.0
    for meter in meters:
        if meter.before is None or meter.flow is None:
            continue
        now, before = meter.sample, meter.before
        met, first = within(now.time_to_first_token_s, before.time_to_first_token_s, objective.first_token_s)
        steady, ended = within(now.time_per_output_token_s, before.time_per_output_token_s, objective.output_token_s)
        number = max(first, ended)
        shares = [1 - good / count for good, count in ((met, first), (steady, ended)) if count]
        late += number * max(shares, default=0.0)
        total += number
    return late, total


def within(histogram: Histogram | None, earlier: Histogram | None, limit_s: float) -> tuple[float, float]:
    """How many values since ``earlier`` were at most ``limit_s``, and how many there were in all."""
    if histogram is None:
        return 0.0, 0.0
    if earlier is None or earlier.count > histogram.count:
        return _at_most(histogram, limit_s), histogram.count
    met = _at_most(histogram, limit_s) - _at_most(earlier, limit_s)
    total = histogram.count - earlier.count
    return min(max(met, 0.0), total), total


def _at_most(histogram: Histogram, limit_s: float) -> float:
    """Between two bounds, in proportion."""
    below_s, below = 0.0, 0.0
    for bound_s, number in sorted(histogram.buckets.items()):
        if bound_s >= limit_s:
            share = (limit_s - below_s) / (bound_s - below_s) if bound_s != inf else 0.0
            return below + (number - below) * share
        below_s, below = bound_s, number
    return below
