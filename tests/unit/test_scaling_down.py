"""Down only where the state after it would not ask for up, and never while a replica is unready."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.api.scaling import Scaling, ScalingPolicy, ScalingRules, Targets
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling import demand_need, reasons, targets
from modelyard.scaling.decide import decide
from modelyard.scaling.demand_need import Learnt
from modelyard.scaling.fleet import Fleet, look
from modelyard.scaling.forecast import Forecast, Forecasts
from modelyard.scaling.limits import Carried, Objective
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Observation, Replica, State
from modelyard.scaling.speed import Speed
from tests.support.scaled_service import NOON_S, ScaledService

AT_ONCE = ScalingRules(
    stabilization_window_seconds=0, policies=[ScalingPolicy(type="Percent", value=100, period_seconds=15)]
)


def fleet(number: int, sample: EngineSample, before: EngineSample) -> Fleet:
    """So many replicas, each with the same two samples 15 seconds apart."""
    first = observed(number, before)
    return look(observed(number, sample), look(first, {}).meters)


def observed(number: int, sample: EngineSample) -> Observation:
    replicas = tuple(Replica(f"llama-{at}", State.SERVING, 0.0, sample) for at in range(number))
    return Observation(sample.time_s, number, replicas)


samples = st.builds(
    EngineSample,
    time_s=st.just(NOON_S),
    waiting=st.floats(0, 200),
    running=st.floats(0, 256),
    kv_usage=st.floats(0, 1),
    running_limit=st.sampled_from([None, 16.0, 256.0]),
    prompt_tokens_total=st.floats(0, 20_000 * 15),
    generation_tokens_total=st.floats(0, 5_000 * 15),
    finished_total=st.floats(0, 500),
    first_tokens_total=st.floats(0, 500),
    iterations_total=st.floats(0, 1_500),
)
profiles = st.builds(
    Speed,
    step_s=st.floats(0.005, 0.1),
    prompt_s=st.floats(1e-5, 1e-3),
    output_s=st.floats(1e-5, 5e-3),
    intervals=st.just(10),
)
carried = st.builds(Carried, kv_at_half=st.none() | st.floats(0.01, 3), requests_to_fill=st.none() | st.floats(4, 2000))
START = EngineSample(
    NOON_S - 15,
    waiting=0,
    running=0,
    kv_usage=0,
    prompt_tokens_total=0,
    generation_tokens_total=0,
    finished_total=0,
    first_tokens_total=0,
    iterations_total=0,
)


@settings(max_examples=400, deadline=None)
@given(number=st.integers(2, 12), sample=samples, speed=profiles, seen=carried, error=st.floats(0, 1))
def test_what_is_gone_down_to_by_demand_would_not_ask_for_up(
    number: int, sample: EngineSample, speed: Speed, seen: Carried, error: float
) -> None:
    """The load of each grows by N / (N - 1), for every signal: demand, KV cache, queue."""
    now = fleet(number, sample, START)
    learnt = Learnt(speed, seen, Memory().traffic.counted(now.flows), Forecasts())
    point = learnt.traffic.at(now.now_s, now.flows)
    load = speed.load(point.prompt, point.output)
    forecast = Forecast(load, error * load, load, load, load, 165.0)
    need = demand_need.need(learnt, forecast, now, Objective(), 165.0)
    assert need.down is not None
    for after in range(1, number):
        if after >= need.down and need.bears(after):
            grown = number / after
            denser = EngineSample(
                NOON_S,
                waiting=(sample.waiting or 0) * grown,
                running=(sample.running or 0) * grown,
                kv_usage=min((sample.kv_usage or 0) * grown, 1.0),
                running_limit=sample.running_limit,
                prompt_tokens_total=(sample.prompt_tokens_total or 0) * grown,
                generation_tokens_total=(sample.generation_tokens_total or 0) * grown,
                finished_total=(sample.finished_total or 0) * grown,
                first_tokens_total=(sample.first_tokens_total or 0) * grown,
                iterations_total=sample.iterations_total,
            )
            then = demand_need.need(learnt, forecast, fleet(after, denser, START), Objective(), 165.0)
            assert then.up is not None
            assert then.up <= after, (need, then)


@settings(max_examples=300, deadline=None)
@given(
    number=st.integers(2, 12),
    waiting=st.floats(0, 40),
    kv=st.floats(0, 1),
    running=st.floats(0, 64),
    wanted=st.builds(
        Targets,
        queue_depth=st.none() | st.integers(1, 20),
        kv_cache_usage=st.integers(10, 95),
        running_requests=st.none() | st.integers(1, 64),
    ),
)
def test_what_is_gone_down_to_by_targets_would_not_ask_for_up(
    number: int, waiting: float, kv: float, running: float, wanted: Targets
) -> None:
    scaling = Scaling(max_replicas=20, targets=wanted, scale_down=AT_ONCE)
    observation = observed(number, EngineSample(NOON_S, waiting=waiting, running=running, kv_usage=kv))
    decision, _ = decide(scaling, Memory(current=number), observation)
    after = decision.desired
    if after < number:
        grown = number / after
        denser = EngineSample(NOON_S, waiting=waiting * grown, running=running * grown, kv_usage=kv * grown)
        then = targets.need(wanted, look(observed(after, denser), {}))
        assert then.up is not None
        assert then.up <= after


def test_never_while_a_replica_is_unready_for_another_reason_than_starting() -> None:
    service = ScaledService(Scaling(max_replicas=8), replicas=4)
    service.ticks(10, 4.0)
    busy = service.pods[0]
    busy.become(State.UNREADY, service.now_s)
    before = service.current
    service.decisions.clear()
    service.ticks(60, 0.2)
    assert min(decision.desired for decision in service.decisions) >= before
    assert service.decisions[-1].reason == reasons.UNREADY
    assert busy.name in service.decisions[-1].message
    busy.become(State.SERVING, service.now_s)
    service.ticks(60, 0.2)
    assert service.current == 1


def test_one_that_is_unready_for_half_an_hour_no_longer_holds_the_others() -> None:
    service = ScaledService(Scaling(max_replicas=8), replicas=4)
    service.ticks(10, 4.0)
    service.pods[0].become(State.UNREADY, service.now_s)
    service.ticks(160, 0.2)
    assert service.current <= 2


def test_down_waits_for_its_window_and_then_goes_by_one_sixth_a_minute() -> None:
    service = ScaledService(Scaling(max_replicas=20), replicas=12)
    service.ticks(40, 16.0)
    before = service.current
    service.decisions.clear()
    service.ticks(60, 1.0)
    numbers = [decision.desired for decision in service.decisions]
    assert numbers[:17] == [before] * 17, "300 s less the forecast's"
    assert service.decisions[10].reason == reasons.DOWN_STABILIZING
    assert all(before - after <= max(before // 6, 1) for before, after in itertools.pairwise(numbers))


def test_the_least_busy_pods_leave_first_in_the_order_of_a_replica_set() -> None:
    states = [
        ("busy", State.SERVING, 20.0),
        ("calm", State.SERVING, 1.0),
        ("unready", State.UNREADY, 5.0),
        ("loads", State.STARTING, 0.0),
        ("waits", State.PENDING, 0.0),
        ("leaves", State.LEAVING, 0.0),
        ("silent", State.SERVING, None),
    ]
    replicas = tuple(
        Replica(name, state, NOON_S - 500, ScaledService(Scaling(max_replicas=1)).pods[0].sample)
        if running is None
        else Replica(name, state, NOON_S - 500, EngineSample(NOON_S, waiting=0.0, running=running, kv_usage=0.1))
        for name, state, running in states
    )
    decision, _ = decide(Scaling(max_replicas=9), Memory(), Observation(NOON_S, 6, replicas))
    assert decision.idlest == ("waits", "loads", "unready", "calm", "busy", "silent")
