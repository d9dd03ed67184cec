"""Runs the same traffic against several settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

from modelyard.api.scaling import Scaling
from modelyard.scaling.decide import decide
from modelyard.scaling.decision import Decision
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Observation, State
from modelyard.scaling.simulator.run import Outcome, Policy, Scenario, run
from modelyard.scaling.simulator.score import Limits, Score, score

COURSE_POINTS = 120


@dataclass(frozen=True)
class Alternative:
    """What is compared: settings by name, or with ``fixed`` always so many replicas."""

    name: str
    scaling: Scaling
    fixed: int | None = None


@dataclass(frozen=True)
class Course:
    """How a run went over time, in hours since its start: replicas that serve and that exist, requests that wait, the
    share of the requests that attained the objective by the time they arrived (None where none did), and GPU-hours so
    far.
    """

    hours: tuple[float, ...]
    serving: tuple[int, ...]
    replicas: tuple[int, ...]
    waiting: tuple[int, ...]
    attainment_hours: tuple[float, ...]
    attainment: tuple[float | None, ...]
    gpu_hours: tuple[float, ...]


@dataclass(frozen=True)
class Compared:
    """An alternative with its score and course."""

    alternative: Alternative
    score: Score
    course: Course


def compare(
    scenario: Scenario,
    alternatives: Sequence[Alternative],
    objective: Limits,
    progress: Callable[[str, float], None],
) -> list[Compared]:
    """Run each. ``progress`` is called with the name of what runs and the share of it that is done."""
    found = []
    for alternative in alternatives:
        outcome = _outcome(scenario, alternative, partial(progress, alternative.name))
        warm_up_s = min(600.0, scenario.duration_s / 10)
        result = score(outcome, objective, alternative.scaling.max_replicas, warm_up_s)
        found.append(Compared(alternative, result, course(outcome, objective)))
    return found


def _outcome(scenario: Scenario, alternative: Alternative, progress: Callable[[float], None]) -> Outcome:
    scaling = alternative.scaling
    if alternative.fixed is not None:
        fixed: Policy[Any] = _fixed
        return run(replace(scenario, replicas=alternative.fixed), fixed, scaling, alternative.fixed, progress)
    begins_with = min(max(scenario.replicas, scaling.min_replicas), scaling.max_replicas)
    return run(replace(scenario, replicas=begins_with), decide, scaling, Memory(), progress)


def _fixed(scaling: Scaling, replicas: int, observation: Observation) -> tuple[Decision, int]:  # noqa: ARG001
    return Decision(replicas, replicas, "Fixed", "always the same number", {}), replicas


def course(outcome: Outcome, objective: Limits) -> Course:
    """The course of a run, at most COURSE_POINTS points of the attainment and all looks of the rest."""
    scenario = outcome.scenario
    start_s, looks = scenario.start_s, outcome.looks
    width_s = scenario.duration_s / COURSE_POINTS
    arrived, attained = [0] * COURSE_POINTS, [0] * COURSE_POINTS
    for request in outcome.requests:
        slot = min(int((request.arrived_s - start_s) / width_s), COURSE_POINTS - 1)
        arrived[slot] += 1
        attained[slot] += objective.attained_by(request)
    return Course(
        hours=tuple((look.time_s - start_s) / 3600 for look in looks),
        serving=tuple(look.states[State.SERVING] for look in looks),
        replicas=tuple(sum(look.states.values()) for look in looks),
        waiting=tuple(look.waiting for look in looks),
        attainment_hours=tuple((slot + 0.5) * width_s / 3600 for slot in range(COURSE_POINTS)),
        attainment=tuple(good / all_ if all_ else None for good, all_ in zip(attained, arrived, strict=True)),
        gpu_hours=tuple(_gpu_hours(outcome)),
    )


def _gpu_hours(outcome: Outcome) -> list[float]:
    """So far, at each look."""
    found, total_s, changes = [], 0.0, iter(pairwise([*outcome.held, (outcome.end_s, 0)]))
    (from_s, devices), (until_s, _) = next(changes)
    for look in outcome.looks:
        while until_s < look.time_s:
            total_s += devices * (until_s - from_s)
            (from_s, devices), (until_s, _) = next(changes)
        total_s += devices * (look.time_s - from_s)
        from_s = look.time_s
        found.append(total_s / 3600)
    return found
