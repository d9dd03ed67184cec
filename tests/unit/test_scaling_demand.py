"""Replicas follow demand: what a replica can bear is learnt, and what starts is counted once."""

import itertools

import pytest

from modelyard.api.scaling import Scaling, ScalingRules
from modelyard.scaling import reasons
from modelyard.scaling.observation import Capacity, State
from tests.support.scaled_service import OUTPUT_S, PROMPT_S, REQUEST_LOAD, STEP_S, ScaledService

UP_TO_TEN = Scaling(max_replicas=10)


def desired(service: ScaledService) -> list[int]:
    return [decision.desired for decision in service.decisions]


def changes(service: ScaledService) -> int:
    numbers = desired(service)
    return sum(before != after for before, after in itertools.pairwise(numbers))


@pytest.mark.parametrize("replicas", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("load", [0.55, 0.6, 0.65, 0.7, 0.75])
def test_constant_load_for_an_hour_changes_nothing_once_the_number_is_found(replicas: int, load: float) -> None:
    service = ScaledService(UP_TO_TEN, replicas=replicas)
    rate = load / REQUEST_LOAD * replicas
    service.ticks(80, rate)
    service.decisions.clear()
    service.ticks(240, rate)
    assert changes(service) == 0


def test_one_replica_becomes_three_under_load_and_one_again_without_a_flap() -> None:
    service = ScaledService(UP_TO_TEN)
    service.ticks(20, 0.5)
    service.ticks(120, 4.0)
    under_load = desired(service)[-1]
    assert 3 <= under_load <= 4
    service.ticks(120, 0.3)
    assert desired(service)[-1] == 1
    numbers = desired(service)
    turns = [(before, after) for before, after in itertools.pairwise(numbers) if before != after]
    first_down = next(at for at, (before, after) in enumerate(turns) if after < before)
    assert all(after < before for before, after in turns[first_down:])


def test_the_speed_is_learnt_from_nothing() -> None:
    service = ScaledService(UP_TO_TEN, replicas=2)
    for rate in (1.0, 1.5, 2.0, 2.5, 3.0, 2.0, 1.0) * 6:
        service.tick(rate)
    speed = service.memory.speed
    assert speed.step_s == pytest.approx(STEP_S, rel=0.1)
    per_request = 1000 * speed.prompt_s + 200 * speed.output_s
    assert per_request == pytest.approx(1000 * PROMPT_S + 200 * OUTPUT_S, rel=0.1)


def test_replicas_that_start_are_counted_once() -> None:
    service = ScaledService(UP_TO_TEN, cold_start_s=600)
    service.ticks(20, 0.5)
    service.ticks(38, 3.0)
    assert desired(service)[-1] <= 5
    assert changes(service) <= 3


def test_a_replica_that_no_longer_starts_is_replaced_and_does_not_lock_the_decision() -> None:
    service = ScaledService(UP_TO_TEN, replicas=2)
    service.ticks(40, 2.6)
    before = service.current
    service.pods[0].become(State.UNREADY, service.now_s)
    service.ticks(6, 2.6)
    assert service.current > before


def test_a_queue_however_long_adds_a_bounded_number_of_replicas() -> None:
    service = ScaledService(Scaling(max_replicas=100), replicas=4)
    for pod in service.pods:
        pod.waiting = 10_000
    demand = 4 * 0.95 / REQUEST_LOAD
    service.ticks(6, demand)
    assert 5 < service.current <= 14


REFUSED = Capacity(2, "GPUsUnavailable", "team-a/llama holds 2 of 4 GPUs.")


def test_where_the_cluster_refuses_more_the_number_stops_rising_and_says_why() -> None:
    service = ScaledService(UP_TO_TEN, replicas=2, devices=2)
    service.capacity = REFUSED
    service.ticks(20, 6.0)
    last = service.decisions[-1]
    assert (last.desired, last.reason) == (2, "GPUsUnavailable")
    assert last.wanted > 2
    assert "team-a/llama holds 2 of 4 GPUs" in last.message


def test_replicas_without_a_node_go_at_once_when_demand_falls() -> None:
    service = ScaledService(UP_TO_TEN, replicas=2, devices=2)
    service.ticks(10, 2.0)
    service.ticks(20, 6.0)
    assert len(service.of(State.PENDING)) >= 2
    service.capacity = Capacity(2, "GPUsUnavailable", "no GPU is free.")
    for pod in service.of(State.SERVING):
        pod.waiting = 0.0
    service.ticks(4, 0.5)
    assert not service.of(State.PENDING)
    assert any(decision.reason == reasons.CANCELLED for decision in service.decisions)
    assert len(service.of(State.SERVING)) == 2, "replicas that serve leave by the usual rules"


def test_replicas_that_load_are_kept_until_the_usual_rules_let_them_go() -> None:
    service = ScaledService(UP_TO_TEN, cold_start_s=600)
    service.ticks(10, 0.5)
    service.ticks(10, 4.0)
    assert service.of(State.STARTING)
    for pod in service.of(State.SERVING):
        pod.waiting = 0.0
    service.ticks(4, 0.5)
    assert service.of(State.STARTING)


def test_capacity_that_leaves_is_gone_and_its_replacement_is_on_the_way() -> None:
    service = ScaledService(UP_TO_TEN, replicas=4)
    service.ticks(40, 5.6)
    before = service.current
    for pod in service.of(State.SERVING)[:2]:
        pod.become(State.LEAVING, service.now_s)
    service.resize(service.current)
    service.tick(5.6)
    assert service.current >= before
    assert service.decisions[-1].wanted >= before
    assert len([pod for pod in service.pods if pod.state is not State.LEAVING]) == service.current


def test_scaling_up_waits_for_its_window() -> None:
    service = ScaledService(Scaling(max_replicas=10, scale_up=ScalingRules(stabilization_window_seconds=120)))
    service.ticks(20, 0.5)
    service.ticks(7, 3.0)
    assert service.current == 1
    assert service.decisions[-1].reason == reasons.UP_STABILIZING
    service.ticks(5, 3.0)
    assert service.current > 1


def test_at_the_maximum_and_still_short_is_said() -> None:
    service = ScaledService(Scaling(max_replicas=2), replicas=2)
    service.ticks(20, 6.0)
    last = service.decisions[-1]
    assert (last.desired, last.reason) == (2, reasons.AT_MAXIMUM)
    assert last.wanted > 2
    assert "maxReplicas allows 2" in last.message


def test_demand_at_replicas_that_leave_still_counts() -> None:
    """A node that is announced to go: its pods serve until then."""
    service = ScaledService(UP_TO_TEN, replicas=4)
    service.ticks(40, 5.6)
    leaving = service.of(State.SERVING)[:2]
    for pod in leaving:
        pod.become(State.LEAVING, service.now_s - 60)
    for _ in range(4):
        for pod in leaving:
            pod.serve(1.4, service.interval_s)
            pod.sample = pod.measured(service.now_s + service.interval_s)
        service.tick(2.8)
    assert service.memory.traffic.points[-1].prompt == pytest.approx(5600, rel=0.05)


def test_forecasts_for_a_far_horizon_are_compared_with_what_came() -> None:
    service = ScaledService(UP_TO_TEN, replicas=2, cold_start_s=2 * 3600.0)
    service.ticks(600, 1.0)
    assert service.memory.forecasts.judged_s is not None
    assert len(service.memory.forecasts.pending) <= 256
