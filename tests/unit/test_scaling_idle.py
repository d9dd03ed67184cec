"""To zero and back: idle by counters, never while it loads, one start per wake, and a model that cannot load."""

import itertools
from typing import Any

import pytest

from modelyard.api.scaling import Scaling, Schedule, Targets
from modelyard.scaling import reasons
from modelyard.scaling.decision import Change
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import State
from tests.support.scaled_service import NOON_S, ScaledService

MAY_STOP = Scaling(min_replicas=0, max_replicas=4, idle_after_seconds=60)


def stopped(**fields: object) -> ScaledService:
    service = ScaledService(MAY_STOP, replicas=1, **fields)  # type: ignore[arg-type]
    service.ticks(6, 0.5)
    service.ticks(10)
    assert service.current == 0
    return service


def test_an_idle_service_stops_after_its_window_and_not_before() -> None:
    service = ScaledService(MAY_STOP)
    service.ticks(6, 0.5)
    last_request_s = service.now_s
    while service.current:
        assert service.now_s - last_request_s < 61
        service.tick()
    assert service.now_s - last_request_s >= 60
    assert service.decisions[-1].reason == reasons.IDLE
    assert service.tick().reason == reasons.STOPPED


def test_the_window_is_ten_minutes_by_default() -> None:
    service = ScaledService(Scaling(min_replicas=0, max_replicas=4))
    service.tick(0.5)
    service.ticks(39)
    assert service.current == 1
    service.ticks(2)
    assert service.current == 0


def test_with_a_minimum_it_never_stops() -> None:
    service = ScaledService(Scaling(min_replicas=1, max_replicas=4))
    service.ticks(200)
    assert service.current == 1


def test_a_short_request_between_two_looks_keeps_it_awake() -> None:
    """Gauges show nothing of it: one request of half a second every 40 seconds, looks every 15."""
    service = ScaledService(MAY_STOP)
    for at in range(240):
        if at * 15 % 40 < 15:
            service.pods[0].served += 1
        service.tick(waiting=0.0, running=0.0, kv_usage=0.0)
    assert service.current == 1


def test_several_idle_replicas_leave_at_the_scale_down_rate() -> None:
    service = ScaledService(MAY_STOP, replicas=3)
    service.ticks(4, 0.5)
    service.ticks(30)
    numbers = [decision.desired for decision in service.decisions]
    assert numbers[-1] == 0
    assert all(before - after <= 1 for before, after in itertools.pairwise(numbers))


def test_never_before_it_was_ready_for_the_window() -> None:
    service = stopped(cold_start_s=300.0)
    service.woken_s = service.now_s
    service.tick()
    assert service.current == 1
    ready_s = None
    for _ in range(60):
        service.tick()
        if service.of(State.SERVING) and ready_s is None:
            ready_s = service.now_s
        if service.current == 0:
            break
    assert ready_s is not None
    assert service.now_s - ready_s >= 60
    assert service.current == 0


def test_not_while_it_loads_however_long() -> None:
    service = stopped(starts=False)
    service.woken_s = service.now_s
    service.ticks(200)
    assert service.current == 1


@pytest.mark.parametrize("unknown", [None, ("llama-1",)])
def test_what_is_not_known_is_not_idle(unknown: tuple[str, ...] | None) -> None:
    service = ScaledService(MAY_STOP)
    service.ticks(2, 0.5)
    service.ticks(60, unknown=unknown)
    assert service.current == 1


PENDING = "nv_inference_pending_request_count, which is wrong for decoupled models"
OF_TRITON: dict[str, Any] = {
    "running": None,
    "kv_usage": None,
    "prompt_tokens_total": None,
    "generation_tokens_total": None,
    "counts_late": True,
}
"""Counters of a plain Triton move when a request ends, of a decoupled model when it is accepted."""

OF_DECOUPLED = OF_TRITON | {
    "waiting": None,
    "missing": {"waiting": f"the page of llama-1 has {PENDING}"},
}


def test_a_stream_that_no_counter_shows_keeps_it_awake() -> None:
    """Of twenty minutes, whose request was counted at its start."""
    service = ScaledService(MAY_STOP)
    service.tick(0.5, **OF_DECOUPLED)
    for _ in range(80):
        service.tick(**OF_DECOUPLED)
    last = service.decisions[-1]
    assert (service.current, last.reason) == (1, reasons.PARTLY_UNKNOWN)
    assert "llama-1 still works on one is not known" in last.message
    assert last.unknown == (f"queueDepth: the page of llama-1 has {PENDING}",)


def test_replicas_whose_queue_is_never_known_stay() -> None:
    service = ScaledService(Scaling(min_replicas=1, max_replicas=4), replicas=3)
    service.tick(0.5, **OF_DECOUPLED)
    for _ in range(80):
        service.tick(**OF_DECOUPLED)
    last = service.decisions[-1]
    assert (service.current, last.reason) == (3, reasons.PARTLY_UNKNOWN)
    assert last.unknown == (f"queueDepth: the page of llama-1 has {PENDING}",)


def test_a_request_that_takes_longer_than_the_window_keeps_it_awake() -> None:
    """Triton counts it when it ends; until then it is pending, and that is to be believed."""
    service = ScaledService(MAY_STOP)
    service.tick(0.5, **OF_TRITON)
    for _ in range(80):
        service.tick(waiting=1.0, iterations_total=7.0, finished_total=7.0, **OF_TRITON)
    assert service.current == 1


def test_a_triton_whose_queue_is_known_and_empty_stops() -> None:
    service = ScaledService(MAY_STOP)
    service.tick(0.5, **OF_TRITON)
    for _ in range(8):
        service.tick(**OF_TRITON)
    assert service.current == 0


def test_gauges_that_froze_do_not_keep_it_awake() -> None:
    service = ScaledService(MAY_STOP)
    service.ticks(10, 2.0)
    service.pods[0].freeze()
    service.ticks(40)
    assert service.current == 0


def test_a_wake_repeated_fifty_times_is_one_start() -> None:
    service = stopped()
    for _ in range(50):
        service.woken_s = service.now_s + 1
        service.tick()
        assert service.current == 1
    starts = [change for change in service.memory.changes if change.before == 0]
    assert len(starts) == 1


def test_a_wake_that_crosses_the_decision_to_stop_ends_at_one() -> None:
    service = ScaledService(MAY_STOP)
    service.ticks(6, 0.5)
    while service.current:
        service.tick()
    service.woken_s = service.now_s - 1
    decision = service.tick()
    assert (decision.desired, decision.reason) == (1, reasons.WOKEN)


def test_a_wake_that_is_seen_before_the_stop_is_ends_at_one() -> None:
    """The stop was written, and what is observed still shows one replica."""
    service = ScaledService(MAY_STOP)
    service.ticks(6, 0.5)
    while service.current:
        service.tick()
    service.woken_s = service.now_s + 3
    service.resize(1)
    service.advance()
    assert service.tick().desired == 1
    service.resize(0)
    assert service.tick().desired == 1


def test_an_old_wake_does_not_start_it_again_after_a_restart_of_the_operator() -> None:
    service = stopped()
    service.woken_s = NOON_S - 86_400
    service.memory = Memory.restored(service.memory.changes, current=0)
    assert service.tick().desired == 0
    service.woken_s = service.now_s
    assert service.tick().desired == 1


def test_a_wake_while_the_operator_was_away_counts() -> None:
    service = stopped()
    service.memory = Memory.restored(service.memory.changes, current=0)
    service.woken_s = service.now_s + 10
    service.now_s += 300
    assert service.tick().desired == 1


def test_a_schedule_starts_it() -> None:
    service = stopped()
    service.scaling = MAY_STOP.model_copy(update={"schedules": [Schedule(start="00:00", end="00:00", min_replicas=2)]})
    assert service.tick().desired == 2


def test_a_model_that_cannot_load_is_tried_three_times_an_hour_and_the_reason_stays() -> None:
    service = stopped(starts=False)
    starts = 0
    for _ in range(600):
        before = service.current
        service.woken_s = service.now_s + 1
        service.tick()
        starts += before == 0 and service.current == 1
        for pod in service.of(State.STARTING):
            pod.become(State.UNREADY, service.now_s)
        if starts == 3 and service.current == 0:
            break
    assert (starts, service.current) == (3, 0)
    service.woken_s = service.now_s + 1
    decision = service.tick()
    assert (decision.desired, decision.reason) == (0, reasons.START_FAILED)
    assert "The last 3 starts failed" in decision.message
    service.memory = Memory.restored(service.memory.changes, current=0)
    service.woken_s = service.now_s + 1
    assert service.tick().desired == 0, "a restart of the operator forgets nothing"
    service.now_s += 3600
    service.woken_s = service.now_s + 1
    assert service.tick().desired == 1


def test_someone_who_scales_it_to_one_by_hand_tries_at_once() -> None:
    service = stopped()
    failed = [Change(service.now_s - at, 1, 0, reasons.START_FAILED) for at in (90, 60, 30)]
    service.memory = Memory.restored(failed, current=0)
    service.resize(1)
    service.advance()
    service.ticks(5)
    assert service.current == 1


def test_a_replica_that_was_ready_and_is_not_is_no_failed_start() -> None:
    service = ScaledService(MAY_STOP)
    service.ticks(4, 0.5)
    service.pods[0].become(State.UNREADY, service.now_s)
    service.ticks(60)
    assert service.current == 1


def test_a_request_at_the_end_of_the_window_keeps_it_awake() -> None:
    service = ScaledService(Scaling(min_replicas=0, max_replicas=4))
    service.ticks(8, 0.5)
    service.ticks(39)
    assert service.tick(running=1.0, waiting=3.0).desired >= 1
    for _ in range(30):
        assert service.tick(running=1.0, waiting=3.0).desired >= 1, "clients wait: not for the whole window yet"


@pytest.mark.parametrize("targets", [Targets(queue_depth=5), Targets(running_requests=100)])
def test_targets_never_lead_to_zero(targets: Targets) -> None:
    service = ScaledService(MAY_STOP.model_copy(update={"targets": targets}), replicas=1)
    service.ticks(60, 1.0)
    assert service.current == 1


def test_a_wake_of_long_ago_starts_nothing_where_nothing_else_is_known() -> None:
    service = ScaledService(MAY_STOP, replicas=0)
    service.woken_s = service.now_s - 30 * 86_400
    assert service.tick().desired == 0
    service.woken_s = service.now_s
    assert service.tick().desired == 1


def test_a_pod_that_no_node_takes_does_not_hide_that_the_others_cannot_start() -> None:
    service = stopped(starts=False, devices=1)
    service.woken_s = service.now_s
    service.ticks(2)
    service.resize(2)
    for pod in service.of(State.STARTING):
        pod.become(State.UNREADY, service.now_s)
    service.ticks(40)
    assert service.current == 0
