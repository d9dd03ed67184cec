"""How fast replicas may come and go: policies as in the ``behavior`` of a HorizontalPodAutoscaler."""

from dataclasses import dataclass

import pytest

from modelyard.api.scaling import ScalingPolicy, ScalingRules
from modelyard.scaling import rates, reasons
from modelyard.scaling.decision import Change
from modelyard.scaling.memory import Memory
from modelyard.scaling.stabilization import Recommendation, highest_down, kept, lowest_up

NOW_S = 1_000_000.0


def pods(value: int, period_s: int) -> ScalingPolicy:
    return ScalingPolicy(type="Pods", value=value, period_seconds=period_s)


def percent(value: int, period_s: int) -> ScalingPolicy:
    return ScalingPolicy(type="Percent", value=value, period_seconds=period_s)


def change(ago_s: float, before: int, after: int, reason: str = "Any") -> Change:
    return Change(NOW_S - ago_s, before, after, reason)


@dataclass(frozen=True)
class Case:
    """``most`` and ``least`` that ``current`` may become."""

    id: str
    rules: ScalingRules
    current: int
    most: int
    least: int
    changes: tuple[Change, ...] = ()


CASES = (
    Case("by default up to double, or 4 more, and down by one", ScalingRules(), 3, 7, 2),
    Case("by default down by one sixth of many", ScalingRules(), 20, 40, 17),
    Case("pods", ScalingRules(policies=[pods(2, 60)]), 6, 8, 4),
    Case("percent is rounded up", ScalingRules(policies=[percent(30, 60)]), 4, 6, 2),
    Case("the policy that allows most", ScalingRules(policies=[pods(1, 60), percent(50, 60)]), 8, 12, 4),
    Case(
        "the policy that allows least",
        ScalingRules(select_policy="Min", policies=[pods(1, 60), percent(50, 60)]),
        8,
        9,
        7,
    ),
    Case("disabled", ScalingRules(select_policy="Disabled"), 5, 5, 5),
    Case("changes within the period count", ScalingRules(policies=[pods(3, 60)]), 8, 9, 5, (change(59, 6, 8),)),
    Case("older ones do not", ScalingRules(policies=[pods(3, 60)]), 8, 11, 5, (change(60, 6, 8),)),
    Case("removals count", ScalingRules(policies=[pods(1, 60)]), 7, 8, 7, (change(30, 8, 7),)),
    Case(
        "what came in between gives no removal back",
        ScalingRules(policies=[pods(1, 60)]),
        8,
        8,
        8,
        (change(45, 8, 7), change(30, 7, 8)),
    ),
    Case("percent of the period's start", ScalingRules(policies=[percent(50, 60)]), 6, 6, 4, (change(10, 4, 6),)),
    Case(
        "pending ones that were cancelled are no removal",
        ScalingRules(policies=[pods(1, 60)]),
        5,
        6,
        4,
        (change(10, 8, 5, reasons.CANCELLED),),
    ),
    Case("never below zero", ScalingRules(policies=[pods(10, 60)]), 2, 12, 0),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_rates(case: Case) -> None:
    assert rates.most(case.rules, case.changes, case.current, NOW_S) == case.most
    assert rates.least(case.rules, case.changes, case.current, NOW_S) == case.least


def test_windows_take_the_lowest_for_up_and_the_highest_for_down() -> None:
    past = [Recommendation(NOW_S - ago_s, number, number) for ago_s, number in ((400, 9), (200, 6), (100, 4))]
    assert highest_down(past, 3, NOW_S, 300) == 6
    assert highest_down(past, 3, NOW_S, 150) == 4
    assert lowest_up(past, 8, NOW_S, 300) == 4
    assert lowest_up(past, 8, NOW_S, 0) == 8


def test_what_is_remembered_is_bounded_and_answers_the_same() -> None:
    past: tuple[Recommendation, ...] = ()
    every = []
    for at in range(5000):
        new = Recommendation(15.0 * at, at // 40 % 7, at // 40 % 7)
        every.append(new)
        past = kept(past, new, 3600)
        for window_s in (60, 300, 3600):
            assert highest_down(past, 0, new.time_s, window_s) == highest_down(every[-300:], 0, new.time_s, window_s)
    assert len(past) < 60


def test_after_a_restart_what_is_not_known_to_be_allowed_is_not() -> None:
    """A status has ten changes, the times of which are whole seconds."""
    rules = ScalingRules(policies=[pods(12, 1800)])
    changes = [change(720 - 60 * at, 40 - at, 39 - at) for at in range(12)]
    memory = Memory.restored(changes[-10:])
    assert rates.least(rules, changes, 28, NOW_S) == 28
    assert rates.least(rules, memory.changes, 28, NOW_S, memory.complete_since_s) == 28
    later_s = NOW_S + 1800
    assert rates.least(rules, memory.changes, 28, later_s, memory.complete_since_s) == 16
    recent = Memory.restored([Change(100.0, 5, 4, "Any")])
    assert rates.least(ScalingRules(), recent.changes, 4, 160.2, recent.complete_since_s) == 4
