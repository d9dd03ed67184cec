"""``targets`` alone scales as the documentation of the HorizontalPodAutoscaler describes."""

from dataclasses import dataclass, replace

import pytest

from modelyard.api.scaling import Scaling, ScalingPolicy, ScalingRules, Targets
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling.decide import decide
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Observation, Replica, State
from tests.support.scaled_service import NO_ANSWER, NOON_S

AT_ONCE = ScalingRules(
    stabilization_window_seconds=0, policies=[ScalingPolicy(type="Percent", value=100, period_seconds=15)]
)
UNLIMITED = ScalingRules(policies=[ScalingPolicy(type="Pods", value=1000, period_seconds=15)])
QUEUE = Scaling(max_replicas=50, scale_up=UNLIMITED, scale_down=AT_ONCE, targets=Targets(queue_depth=10))


@dataclass(frozen=True)
class Case:
    """``waiting`` of the replicas that serve, None for one that is not known; others that start or are pending."""

    id: str
    waiting: tuple[float | None, ...]
    desired: int
    starting: int = 0
    pending: int = 0


CASES = (
    Case("twice the target doubles", (20, 20), 4),
    Case("half the target halves", (5, 5, 5, 5), 2),
    Case("the ratio of the mean is rounded up", (14, 14, 14), 5),
    Case("within 10 % nothing changes", (11, 11, 11), 3),
    Case("within 10 % below nothing changes", (9, 9, 9), 3),
    Case("beyond 10 % it does", (11.2, 11.2, 11.2), 4),
    Case("of different values the mean counts", (40, 0), 4),
    Case("a missing one counts as empty for scaling up", (20, 20, None), 4),
    Case("if the ratio then turns, nothing changes", (12, 12, None), 3),
    Case("a missing one counts as at its target for scaling down", (2, 2, 2, None), 2),
    Case("if with it there is nothing to do, nothing changes", (9, 8, None, None), 4),
    Case("replicas that start count as empty for scaling up", (30, 30), 6, starting=2),
    Case("those that start may be enough", (20, 20), 4, starting=2),
    Case("pending ones count as those that start", (20, 20), 4, pending=2),
    Case("replicas that start do not count for scaling down", (5, 5), 1, starting=1),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_targets(case: Case) -> None:
    decision, _ = decide(QUEUE, Memory(), observed(case))
    assert decision.desired == case.desired


def observed(case: Case) -> Observation:
    serving = [
        Replica(f"s-{at}", State.SERVING, 0.0, NO_ANSWER if value is None else EngineSample(NOON_S, waiting=value))
        for at, value in enumerate(case.waiting)
    ]
    starting = [Replica(f"n-{at}", State.STARTING, NOON_S - 60, NO_ANSWER) for at in range(case.starting)]
    pending = [Replica(f"p-{at}", State.PENDING, NOON_S - 60, NO_ANSWER) for at in range(case.pending)]
    replicas = (*serving, *starting, *pending)
    return Observation(NOON_S, len(replicas), replicas)


def sampled(*samples: EngineSample) -> Observation:
    replicas = tuple(Replica(f"s-{at}", State.SERVING, 0.0, sample) for at, sample in enumerate(samples))
    return Observation(NOON_S, len(samples), replicas)


BUSY = EngineSample(NOON_S, waiting=10, running=64, kv_usage=0.84)


@pytest.mark.parametrize(
    ("targets", "desired"),
    [
        (Targets(queue_depth=10), 2),
        (Targets(kv_cache_usage=70), 3),
        (Targets(running_requests=16), 8),
        (Targets(queue_depth=10, kv_cache_usage=70, running_requests=16), 8),
        (Targets(queue_depth=40, kv_cache_usage=70), 3),
    ],
)
def test_the_target_that_needs_most_replicas_decides(targets: Targets, desired: int) -> None:
    scaling = QUEUE.model_copy(update={"targets": targets})
    decision, _ = decide(scaling, Memory(), sampled(BUSY, BUSY))
    assert decision.desired == desired


def test_inputs_are_totals_and_what_each_target_asks_for() -> None:
    scaling = QUEUE.model_copy(update={"targets": Targets(queue_depth=10, kv_cache_usage=70)})
    decision, _ = decide(scaling, Memory(), sampled(BUSY, replace(BUSY, waiting=None, kv_usage=0.7)))
    assert (decision.inputs["queueDepth"].value, decision.inputs["queueDepth"].replicas) == (10, 2)
    assert decision.inputs["kvCacheUsage"].value == pytest.approx(154)
    assert decision.inputs["kvCacheUsage"].replicas == 2
    assert "target 10" in decision.message
