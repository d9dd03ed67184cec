"""Whatever engines report, a decision is made within its bounds."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.api.scaling import Scaling, Targets
from modelyard.integrations.signals.engine_metrics import EngineSample, Histogram
from modelyard.scaling import demand_need, reasons
from modelyard.scaling.decide import decide
from modelyard.scaling.memory import Memory
from modelyard.scaling.meters import Flow
from modelyard.scaling.observation import ColdStart, Observation, Replica, State
from modelyard.scaling.speed import Speed
from tests.support.scaled_service import NOON_S, ScaledService

figures = st.none() | st.floats() | st.floats(0, 1e6) | st.sampled_from([0.0, 1e30, 1e200, 1e308, -1e308])
histograms = st.none() | st.builds(
    Histogram,
    buckets=st.dictionaries(st.sampled_from([0.1, 1.0, 10.0]), st.floats()),
    sum=st.floats(),
    count=st.floats(),
)
FIGURES = (
    *("waiting", "running", "kv_usage", "kv_capacity_tokens", "running_limit", "preemptions_total", "finished_total"),
    *("prompt_tokens_total", "cached_prompt_tokens_total", "generation_tokens_total", "first_tokens_total"),
    *("iterations_total", "queue_s_total", "compute_s_total"),
)
samples = st.builds(
    EngineSample,
    time_s=st.just(NOON_S),
    time_to_first_token_s=histograms,
    time_per_output_token_s=histograms,
    **dict.fromkeys(FIGURES, figures),
)
looks = st.lists(
    st.tuples(st.floats(-4000, 60), st.lists(st.tuples(st.sampled_from(State), samples), max_size=4)),
    min_size=3,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(
    looks=looks,
    targets=st.sampled_from([None, Targets(queue_depth=5, kv_cache_usage=70)]),
    cold_start_s=st.floats(),
)
def test_a_decision_never_raises_and_is_within_its_bounds(
    looks: Any, targets: Targets | None, cold_start_s: float
) -> None:
    scaling, memory, now_s = Scaling(min_replicas=2, max_replicas=6, targets=targets), Memory(), NOON_S
    for passed_s, pods in looks:
        now_s += passed_s
        replicas = tuple(
            Replica(f"llama-{at}", state, now_s - 60 * at, replace(sample, time_s=now_s))
            for at, (state, sample) in enumerate(pods)
        )
        look = Observation(now_s, 3, replicas, ColdStart(cold_start_s, cold_start_s))
        decision, memory = decide(scaling, memory, look)
        assert 2 <= decision.desired <= 6


def test_tokens_always_take_some_time() -> None:
    """Iterations that take as long whatever they compute leave no time for tokens."""
    speed = Speed()
    for at in range(200):
        requests = float(3 + at % 13)
        steps = 50 * (1 + 0.005 * requests)
        speed = speed.learnt([_flow(steps, requests)])
        assert speed.prompt_s > 0
        assert speed.output_s > 0


def _flow(steps: float, requests: float) -> Flow:
    output = steps * requests
    return Flow(15.0, 5 * output, output, steps, 1.0, 1.0, 0.0, requests, 0.1, 0.0, 0.0, busy=True, tokens=True)


def test_bounds_hold_where_a_need_cannot_be_computed(monkeypatch: Any) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    service = ScaledService(Scaling(max_replicas=8), replicas=2)
    service.ticks(4, 1.0)
    service.scaling = Scaling(min_replicas=4, max_replicas=8)
    monkeypatch.setattr(demand_need, "need", fails)
    assert service.tick(1.0).desired == 4
    service.ticks(12, 1.0)
    assert service.tick(1.0).reason == reasons.METRICS_UNAVAILABLE


def test_a_counter_beyond_measure_is_not_known() -> None:
    service = ScaledService(Scaling(max_replicas=30), replicas=2)
    service.ticks(10, 2.0)
    for value in (1e30, 1e200, 1e308):
        service.tick(2.0, generation_tokens_total=value)
        service.ticks(3, 2.0)
    assert service.current <= 3


def test_an_unloaded_model_is_no_restart() -> None:
    """Totals are over all models: they fall by what one of them had counted."""
    service = ScaledService(Scaling(max_replicas=30), replicas=2)
    for pod in service.pods:
        pod.served = 1_000_000.0
    service.ticks(20, 2.0)
    before, speed = service.current, service.memory.speed
    for pod in service.pods:
        pod.served -= 100_000.0
    service.ticks(12, 2.0)
    assert service.current == before
    assert abs(service.memory.speed.load(1000, 200) / speed.load(1000, 200) - 1) < 0.1


def test_a_clock_that_is_set_back_freezes_nothing() -> None:
    service = ScaledService(Scaling(max_replicas=30), replicas=2)
    service.ticks(20, 0.5)
    service.now_s -= 3600
    service.ticks(20, 4.0)
    assert service.current > 2


def test_what_one_replica_drops_is_no_less_demand_at_the_others() -> None:
    service = ScaledService(Scaling(max_replicas=30), replicas=4)
    service.ticks(30, 5.0)
    service.pods[0].waiting = 300
    service.tick(5.0)
    service.pods[0].waiting = 0
    service.tick(5.0)
    rest = (len(service.of(State.SERVING)) - 1) / len(service.of(State.SERVING))
    assert service.memory.traffic.points[-1].prompt >= 0.95 * rest * 5000
