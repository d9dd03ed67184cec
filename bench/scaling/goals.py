"""What is to be reached, and whether it was: figures from the scores. Pure."""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import mean

from bench.fetch.ratios import Figure
from bench.scaling.cases import CASES, Kind
from bench.scaling.families import BASELINES, STATIC
from bench.scaling.fronts import Point
from bench.scaling.results import Results

_PROFILE_CASES = ("large-1", "large-1-a100", "large-1-h100")
_TUNED_FOR = 0.99
_NOT_RUN = "not run"


def figures(results: Results) -> list[Figure]:
    """Those of the cases that were run."""
    return [
        _of_ratios("scaling_hours_variable", results.hours_ratios, results, 0.85, "variable"),
        _of_ratios("scaling_hours_gentle", results.hours_ratios, results, 1.0, "gentle"),
        _of_ratios("scaling_hours_clairvoyant", results.clairvoyant_ratios, results, 1.25, "variable", "gentle"),
        _profiles(results),
        _of_ratios("scaling_hours_engine_slower", results.hours_ratios, results, 1.0, "slower"),
        _of_ratios("scaling_hours_engine_faster", results.hours_ratios, results, 1.0, "faster"),
        _of_ratios("scaling_changes", results.changes_ratios, results, 1.0, "variable", "gentle"),
        _spot(results),
        *_ramp(results),
        _agents(results),
    ]


def _of_ratios(
    name: str, ratios: Callable[[str], Sequence[float]], results: Results, goal: float, *kinds: Kind
) -> Figure:
    """The mean over cases and seeds, each of the same weight."""
    cases = [case.name for case in CASES.values() if case.kind in kinds and results.seeds(case.name)]
    found = [ratio for case in cases for ratio in ratios(case)]
    return _mean(name, found, goal)


def _mean(name: str, values: Sequence[float], goal: float, at_least: bool = False) -> Figure:
    if not values:
        return Figure(name, math.nan, goal, _NOT_RUN, at_least)
    return Figure(name, mean(values), goal, f"{min(values):.2f}-{max(values):.2f}", at_least)


def _profiles(results: Results) -> Figure:
    """Points of attainment lost against what was tuned on the same GPU, on the worst of the three."""
    name, goal = "scaling_profiles_points_lost", 1.0
    if not all(results.seeds(case) for case in _PROFILE_CASES):
        return Figure(name, math.nan, goal, _NOT_RUN)
    lost = [points_lost(results, case) for case in _PROFILE_CASES]
    return Figure(name, max(lost), goal, ", ".join(f"{value:.2f}" for value in lost))


def points_lost(results: Results, case: str) -> float:
    """Attainment of the best tuned baseline less ours, in points: the cheapest that attains what was tuned for, or the
    one with the highest attainment where none does.
    """
    points = [point for family in BASELINES for point in results.points(case, family)]
    ours = mean(results.ours(case, seed).attainment for seed in results.seeds(case))
    return 100 * (best_point(points).attainment - ours) if points else math.nan


def best_point(points: Iterable[Point], attainment: float = _TUNED_FOR) -> Point:
    """The cheapest that attains so much, or the one that attains most where none does."""
    points = list(points)
    enough = [point for point in points if point.attainment >= attainment]
    return min(enough, key=lambda one: one.hours) if enough else max(points, key=lambda one: one.attainment)


def _spot(results: Results) -> Figure:
    """What half of the fleet lost at once costs in attainment, against the loss of the cheapest baseline that attains
    as much as we do while nothing is lost.
    """
    name, goal, calm, lost = "scaling_spot_loss", 0.5, "spot-calm", "spot-half-lost"
    seeds = results.seeds(lost)
    if not seeds or not results.seeds(calm):
        return Figure(name, math.nan, goal, _NOT_RUN)
    before = mean(results.ours(calm, seed).attainment for seed in seeds)
    ours = before - mean(results.ours(lost, seed).attainment for seed in seeds)
    baseline = [(family, point) for family in BASELINES for point in results.points(calm, family)]
    best = best_point((point for _, point in baseline), before)
    family = next(family for family, point in baseline if point is best)
    after = next(point for point in results.points(lost, family) if point.setting == best.setting)
    theirs = best.attainment - after.attainment
    return Figure(name, ours / max(theirs, 1e-9), goal, f"{100 * ours:.2f} against {100 * theirs:.2f} points, {family}")


def _ramp(results: Results) -> list[Figure]:
    """llm-d's ramp: mean replicas against the smallest fleet that attains what a peak needs."""
    seeds = results.seeds("ramp")
    enough = [point for point in results.points("ramp", STATIC) if point.attainment >= _TUNED_FOR]
    if not seeds or not enough:
        return [Figure("scaling_ramp_replicas", math.nan, 0.74, _NOT_RUN)]
    peak = min(enough, key=lambda one: one.hours)
    replicas = [results.ours("ramp", seed).device_hours / peak.hours for seed in seeds]
    attained = [results.ours("ramp", seed).attainment for seed in seeds]
    return [
        _mean("scaling_ramp_replicas", replicas, 0.74),
        _mean("scaling_ramp_attainment", attained, 0.958, at_least=True),
    ]


def _agents(results: Results) -> Figure:
    """Agents that wait for their answers: replicas changed per hour once the fleet should have settled."""
    changes = [results.ours("agents", seed).replicas_changed_per_hour for seed in results.seeds("agents")]
    return _mean("scaling_agents_changes", changes, 2.0)
