"""Minimum and maximum come last in every decision; what is lowered drains at the rate of scaling down."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.api.scaling import Scaling, ScalingPolicy, ScalingRules, Schedule
from modelyard.scaling import reasons
from modelyard.scaling.decision import Change
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Capacity, State
from tests.support.scaled_service import ScaledService

ONE_A_MINUTE = ScalingRules(policies=[ScalingPolicy(type="Pods", value=1, period_seconds=60)])


def test_a_maximum_that_is_lowered_drains_one_replica_a_minute() -> None:
    service = ScaledService(Scaling(max_replicas=8), replicas=8)
    service.ticks(8, 9.0)
    service.scaling = Scaling(max_replicas=3)
    service.decisions.clear()
    service.ticks(40, 9.0)
    numbers = [decision.desired for decision in service.decisions]
    assert numbers[0] == 7
    assert numbers[-1] == 3
    assert all(before - after <= 1 for before, after in itertools.pairwise(numbers))
    assert numbers.count(7) >= 4, "60 seconds of 15 each"
    assert service.decisions[0].reason == reasons.MAXIMUM_LOWERED
    assert "exceed the 3 of maxReplicas" in service.decisions[0].message


def test_a_lowered_maximum_drains_where_scaling_down_is_disabled_and_a_replica_is_unready() -> None:
    scaling = Scaling(max_replicas=2, scale_down=ScalingRules(select_policy="Disabled"))
    service = ScaledService(scaling, replicas=4)
    service.pods[0].become(State.UNREADY, service.now_s)
    service.ticks(20, 4.0)
    assert service.current == 2


def test_a_quota_that_falls_below_what_runs_drains_at_the_same_rate() -> None:
    service = ScaledService(Scaling(max_replicas=8), replicas=6)
    service.ticks(8, 7.0)
    service.capacity = Capacity(4, "QuotaExceeded", "the quota team-a allows 4 GPUs.")
    service.decisions.clear()
    service.ticks(30, 7.0)
    numbers = [decision.desired for decision in service.decisions]
    assert numbers[-1] == 4
    assert all(before - after <= 1 for before, after in itertools.pairwise(numbers))
    assert service.decisions[0].reason == "QuotaExceeded"


def test_a_minimum_takes_effect_at_once() -> None:
    service = ScaledService(Scaling(min_replicas=6, max_replicas=8), replicas=1)
    assert service.tick(0.5).desired == 6


def test_when_a_schedule_ends_replicas_leave_in_steps() -> None:
    schedule = Schedule(start="08:00", end="11:10", min_replicas=6)
    service = ScaledService(Scaling(max_replicas=8, schedules=[schedule]), replicas=6)
    service.ticks(39, 0.5)
    assert service.current == 6
    service.decisions.clear()
    service.ticks(60, 0.5)
    numbers = [decision.desired for decision in service.decisions]
    assert numbers[-1] == 1
    assert all(before - after <= 1 for before, after in itertools.pairwise(numbers))


loads = st.floats(min_value=0, max_value=12)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(loads, st.sampled_from(["known", "some", "none"]), st.booleans()), min_size=4, max_size=30
    ),
    minimum=st.integers(0, 4),
    maximum=st.integers(4, 8),
)
def test_whatever_happens_the_number_is_within_the_bounds(
    steps: list[tuple[float, str, bool]], minimum: int, maximum: int
) -> None:
    service = ScaledService(Scaling(min_replicas=minimum, max_replicas=maximum), replicas=max(minimum, 1))
    for rate, known, unready in steps:
        serving = service.of(State.SERVING)
        if unready and serving:
            serving[0].become(State.UNREADY, service.now_s)
        unknown = {"known": (), "some": [pod.name for pod in serving[:1]], "none": None}[known]
        decision = service.tick(rate, unknown)
        assert minimum <= decision.desired <= maximum
        for pod in service.of(State.UNREADY):
            pod.become(State.SERVING, service.now_s)


@settings(max_examples=40, deadline=None)
@given(
    rates=st.lists(loads, min_size=20, max_size=60),
    killed=st.sets(st.integers(0, 60)),
    maxima=st.lists(st.sampled_from([2, 4, 8, 8]), min_size=60, max_size=60),
)
def test_never_two_replicas_leave_within_a_minute_of_one_though_the_operator_is_killed(
    rates: list[float], killed: set[int], maxima: list[int]
) -> None:
    rules = ScalingRules(stabilization_window_seconds=0, policies=ONE_A_MINUTE.policies)
    service = ScaledService(Scaling(max_replicas=8, scale_down=rules), replicas=6, cold_start_s=20)
    left: list[Change] = []
    reported = service.current
    for at, rate in enumerate(rates):
        service.scaling = service.scaling.model_copy(update={"max_replicas": maxima[at]})
        if at in killed:  # before it wrote the last change to the status
            service.memory = Memory.restored(service.memory.changes, current=reported)
        before = service.current
        reported = before
        decision = service.tick(rate)
        if decision.desired < before:
            left.append(Change(service.now_s, before, decision.desired, decision.reason))
    for first, second in itertools.pairwise(left):
        assert second.time_s - first.time_s >= 60
    assert all(change.before - change.after == 1 for change in left if change.reason != reasons.CANCELLED)


def test_someone_elses_change_is_taken_as_it_is() -> None:
    service = ScaledService(Scaling(max_replicas=8), replicas=2)
    service.ticks(10, 2.0)
    service.resize(5)
    service.tick(2.0)
    assert service.current == 5
    last = service.memory.changes[-1]
    assert (last.before, last.after, last.reason) == (2, 5, "ScaledByOthers")


def test_replicas_that_do_not_exist_go_at_once_under_a_lowered_maximum() -> None:
    """A quota refuses their pods: they carry nothing."""
    service = ScaledService(Scaling(max_replicas=8), replicas=2)
    service.ticks(4, 2.0)
    service.current = 8
    service.scaling = Scaling(max_replicas=2)
    assert service.tick(2.0).desired == 2
