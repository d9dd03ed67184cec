"""Broken replicas: replaced within bounds, never a reason to add more and more, and never a way down by accident."""

from modelyard.api.scaling import Scaling, ScalingRules, Targets
from modelyard.scaling import reasons
from modelyard.scaling.observation import State
from tests.support.scaled_service import ScaledService


def test_a_broken_replica_is_replaced_once_at_the_target() -> None:
    service = ScaledService(Scaling(max_replicas=20, targets=Targets(running_requests=10)), replicas=5)
    service.pods[0].become(State.UNREADY, service.now_s)
    for _ in range(40):
        service.tick(0.5, running=10.0)
    assert service.current == 5


def test_a_full_kv_cache_adds_one_replica_for_each_cold_start_beside_broken_ones() -> None:
    service = ScaledService(Scaling(max_replicas=30), replicas=5)
    service.ticks(10, 1.0)
    for pod in service.pods[:2]:
        pod.become(State.UNREADY, service.now_s)
    for _ in range(10):
        service.tick(0.6, kv_usage=0.97)
    assert service.current == 6


def test_replicas_that_all_fail_to_start_do_not_add_up() -> None:
    service = ScaledService(Scaling(max_replicas=12), replicas=2)
    service.ticks(20, 2.0)
    service.starts = False
    for _ in range(60):
        for pod in service.of(State.STARTING):
            if service.now_s - pod.created_s >= 60:
                pod.become(State.UNREADY, pod.created_s)
        service.tick(3.4)
    assert service.current <= 6
    assert service.decisions[-1].reason == reasons.UNREADY
    assert "without another in their place" in service.decisions[-1].message


def test_replicas_that_are_broken_for_long_go() -> None:
    service = ScaledService(Scaling(max_replicas=8), replicas=6)
    service.ticks(4, 1.5)
    for pod in service.pods[2:]:
        pod.become(State.UNREADY, service.now_s)
    service.ticks(200, 1.5)
    assert len(service.of(State.SERVING)) >= 2
    assert service.current <= 4


def test_pending_replacements_of_a_replica_that_is_overloaded_stay() -> None:
    service = ScaledService(Scaling(max_replicas=10), replicas=2, devices=2)
    service.ticks(10, 2.0)
    service.ticks(20, 6.0)
    before = service.current
    for pod in service.pods:
        pod.waiting = 0.0
    service.of(State.SERVING)[0].become(State.UNREADY, service.now_s)
    service.ticks(6, 0.3)
    assert service.current >= before


def test_scaling_down_that_is_disabled_cancels_nothing() -> None:
    rules = ScalingRules(select_policy="Disabled")
    service = ScaledService(Scaling(max_replicas=10, scale_down=rules), replicas=2, devices=2)
    service.ticks(10, 2.0)
    service.ticks(20, 5.0)
    before = service.current
    for pod in service.pods:
        pod.waiting = 0.0
    service.ticks(6, 0.3)
    assert service.current == before
