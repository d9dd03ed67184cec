"""What is to be reached, and whether it was: figures from what the rounds measured. Pure."""

import math
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from bench.fetch.measure import Sample
from bench.fetch.ratios import Figure, ratio_figure
from bench.fetch.rounds import Results
from bench.fetch.sharing import Shared

OURS = "modelyard"
_PEAK_RSS_GOAL_MB = 128
_HIT_GOAL_S = 0.1
_NOT_MEASURED = "not measured"


def _durable_s(sample: Sample) -> float:
    return sample.durable_s


def _cpu_s(sample: Sample) -> float:
    return sample.cpu_s


@dataclass(frozen=True)
class _Comparison:
    """Ours against another client in one case: the ratio is to be at most ``goal``."""

    figure: str
    case: str
    other: str
    goal: float
    of: Callable[[Sample], float] = _durable_s


_COMPARISONS = (
    _Comparison("fetch_nginx_wall", "nginx", "s5cmd", 0.55),
    _Comparison("fetch_nginx_cpu", "nginx", "s5cmd", 0.35, _cpu_s),
    _Comparison("fetch_vs_boto3", "nginx", "boto3", 0.45),
    _Comparison("fetch_vs_floor", "nginx", "cp", 1.6),
    _Comparison("fetch_seaweedfs_wall", "seaweedfs", "s5cmd", 1.0),
    _Comparison("fetch_slow_connections", "slow", "s5cmd", 0.65),
)


def of_rounds(results: Results, cases: Collection[str], suffix: str) -> list[Figure]:
    """The figures of those of the ``cases`` whose names end in ``suffix``."""
    figures = [_compared(results, goal, suffix) for goal in _COMPARISONS if goal.case + suffix in cases]
    ours = [samples for case in cases if case.endswith("_tls") == bool(suffix) and (samples := results.of(case, OURS))]
    if ours:
        figures.append(_peak_memory([sample for samples in ours for sample in samples], suffix))
    return figures


def _compared(results: Results, goal: _Comparison, suffix: str) -> Figure:
    name, case = goal.figure + suffix, goal.case + suffix
    ours, others = results.of(case, OURS), results.of(case, goal.other)
    if not ours or not others:
        return Figure(name, math.nan, goal.goal, _NOT_MEASURED)
    return ratio_figure(name, [goal.of(sample) for sample in ours], [goal.of(sample) for sample in others], goal.goal)


def _peak_memory(samples: Sequence[Sample], suffix: str) -> Figure:
    """The largest resident set of any run, in MB of 10^6 bytes."""
    peaks_mb = [sample.peak_rss_bytes / 1e6 for sample in samples]
    return Figure(
        f"fetch_peak_rss_mb{suffix}", max(peaks_mb), _PEAK_RSS_GOAL_MB, f"{min(peaks_mb):.0f}-{max(peaks_mb):.0f}"
    )


def of_sharing(shared: Shared) -> list[Figure]:
    """What a kill costs, in parts (the goal is one for each connection); what pods that come together fetch, in sizes
    of the model; what a hit costs, in bytes, and in seconds beyond the process's start and the authorisation.
    """
    killed, times, suffix = shared.refetched, shared.times_fetched, shared.suffix
    rests_s = [hit.rest_s for hit in shared.hits]
    return [
        Figure(f"fetch_kill_refetched_parts{suffix}", killed.parts, killed.connections)
        if killed
        else Figure(f"fetch_kill_refetched_parts{suffix}", math.nan, 0, _NOT_MEASURED),
        Figure(f"fetch_four_pods_bytes{suffix}", math.nan if times is None else times, 1.0),
        Figure(f"fetch_hit_bytes{suffix}", sum(hit.file_bytes for hit in shared.hits) if rests_s else math.nan, 0),
        Figure(f"fetch_hit_s{suffix}", statistics.median(rests_s) if rests_s else math.nan, _HIT_GOAL_S),
    ]
