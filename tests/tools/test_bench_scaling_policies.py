"""The baselines of bench-scaling, held to the documents and code that they follow."""

from dataclasses import replace
from typing import Any

import pytest

from bench.scaling.policies.behavior import Behavior, Past, Rule, settle
from bench.scaling.policies.dynamo import Floor, seconds_per_request
from bench.scaling.policies.dynamo import Past as FloorPast
from bench.scaling.policies.hindsight import Clairvoyant, Static
from bench.scaling.policies.hpa import Keda, PodsMetric
from bench.scaling.policies.kpa import Kpa
from bench.scaling.policies.kpa import Past as KpaPast
from bench.scaling.policies.llm_d import ObjectiveAware, ObjectivePast, QueueTrigger, TokenAware
from bench.scaling.policies.signals import Rates, concurrency, kv_usage, quantile, rates, waiting
from modelyard.api.scaling import Scaling
from modelyard.integrations.signals.engine_metrics import EngineSample, Histogram, Unknown
from modelyard.scaling.observation import ColdStart, Observation, Replica, State
from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.score import Limits

SCALING = Scaling(min_replicas=1, max_replicas=20)
GONE = Unknown("no answer")


def _sample(**values: Any) -> EngineSample:
    base = EngineSample(time_s=0.0, waiting=0, running=0, kv_usage=0.0)
    return replace(base, **values)


def _seen(*serving: EngineSample | Unknown, starting: int = 0, now_s: float = 1000.0) -> Observation:
    replicas = [Replica(f"pod-{at}", State.SERVING, 0.0, sample) for at, sample in enumerate(serving)]
    replicas += [Replica(f"new-{at}", State.STARTING, 0.0, GONE) for at in range(starting)]
    return Observation(now_s, len(replicas), tuple(replicas), ColdStart(100, 120))


def _desired(policy: Any, past: Any, observation: Observation, scaling: Scaling = SCALING) -> int:
    desired = policy(scaling, past, observation)[0].desired
    assert isinstance(desired, int)
    return desired


# HPA: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details


@pytest.mark.parametrize(
    ("running", "wanted"),
    [((20, 20), 4), ((10.5, 10.5), 2), ((11.5, 11.5), 3), ((30, 10), 4), ((9.5, 9.5), 2)],
)
def test_an_hpa_multiplies_by_the_ratio_to_the_target_and_tolerates_a_tenth(
    running: tuple[float, ...], wanted: int
) -> None:
    seen = _seen(*(_sample(running=value) for value in running))
    assert _desired(PodsMetric(concurrency, 10.0), Past(), seen) == wanted


def test_an_hpa_takes_replicas_that_start_for_empty_on_the_way_up() -> None:
    policy = PodsMetric(concurrency, 10.0)
    assert _desired(policy, Past(), _seen(_sample(running=30))) == 3
    assert _desired(policy, Past(), _seen(_sample(running=30), starting=2)) == 3
    assert _desired(policy, Past(), _seen(_sample(running=50), starting=2)) == 5


def test_an_hpa_takes_missing_pods_for_at_target_on_the_way_down() -> None:
    policy = PodsMetric(concurrency, 10.0, Behavior(down=Rule(0.0, 100.0, 0, 15.0)))
    assert _desired(policy, Past(), _seen(_sample(running=1), _sample(running=1), _sample(running=1))) == 1
    assert _desired(policy, Past(), _seen(_sample(running=1), GONE, GONE)) == 3
    assert _desired(policy, Past(), _seen(GONE, GONE)) == 2


def test_an_hpa_scales_down_only_to_the_most_of_its_window() -> None:
    policy, past = PodsMetric(concurrency, 10.0), Past()
    busy, idle = _sample(running=20), _sample(running=2)
    decision, past = policy(SCALING, past, _seen(busy, busy, now_s=0))
    assert decision.desired == 4
    four_idle = [idle] * 4
    decision, past = policy(SCALING, past, _seen(*four_idle, now_s=290))
    assert decision.desired == 4
    assert _desired(policy, past, _seen(*four_idle, now_s=310)) == 1


def test_an_hpa_adds_at_most_the_larger_of_four_and_as_many_as_there_were() -> None:
    behavior, past = Behavior(), Past()
    desired, past = settle(behavior, SCALING, past, now_s=0, current=1, recommended=20)
    assert desired == 5
    desired, past = settle(behavior, SCALING, past, now_s=5, current=5, recommended=20)
    assert desired == 5  # within the period, four were added already
    desired, past = settle(behavior, SCALING, past, now_s=16, current=5, recommended=20)
    assert desired == 10
    assert settle(behavior, SCALING, past, now_s=32, current=10, recommended=50)[0] == 20


def test_an_hpa_removes_no_more_than_its_rule_within_the_period() -> None:
    behavior = Behavior(down=Rule(0.0, 0.0, 1, 120.0))
    desired, past = settle(behavior, SCALING, Past(), now_s=0, current=5, recommended=1)
    assert desired == 4
    desired, past = settle(behavior, SCALING, past, now_s=60, current=4, recommended=1)
    assert desired == 4
    assert settle(behavior, SCALING, past, now_s=121, current=4, recommended=1)[0] == 3


def test_keda_divides_the_sum_and_leaves_out_what_is_missing() -> None:
    assert _desired(Keda(waiting, 5.0), Past(), _seen(_sample(waiting=14), _sample(waiting=0))) == 3
    assert _desired(Keda(waiting, 5.0), Past(), _seen(_sample(waiting=7), GONE)) == 2


# KPA: knative/serving, pkg/autoscaler/scaling


def test_a_kpa_goes_by_its_stable_window() -> None:
    policy, past = Kpa(10.0), KpaPast()
    for now_s in (0, 15, 30):
        decision, past = policy(SCALING, past, _seen(_sample(running=15), _sample(running=3), now_s=now_s))
        assert decision.desired == 2
    assert _desired(policy, past, _seen(_sample(running=22), _sample(running=7), now_s=45)) == 3


def test_a_kpa_in_panic_follows_the_latest_and_does_not_go_down() -> None:
    policy, past = Kpa(10.0), KpaPast()
    decision, past = policy(SCALING, past, _seen(_sample(running=45), now_s=0))
    assert decision.desired == 5
    decision, past = policy(SCALING, past, _seen(*[_sample(running=1)] * 5, now_s=15))
    assert decision.desired == 5
    decision, past = policy(SCALING, past, _seen(*[_sample(running=1)] * 5, now_s=90))
    assert decision.desired == 2  # at most halved


# llm-d: guides/workload-autoscaling


def test_the_queue_trigger_takes_off_what_is_starting_but_never_goes_below_what_runs() -> None:
    policy = QueueTrigger(1.0, 16.0)
    assert _desired(policy, Past(), _seen(_sample(waiting=5, running=1))) == 5
    assert _desired(policy, Past(), _seen(_sample(waiting=5, running=1), starting=2)) == 3
    assert _desired(policy, Past(), _seen(_sample(waiting=0, running=60), starting=1)) == 3


def test_the_token_rule_computes_what_waits_in_time_or_holds_the_cache() -> None:
    counted = _sample(
        waiting=10, first_tokens_total=100, prompt_tokens_total=120_000, cached_prompt_tokens_total=20_000
    )
    assert _desired(TokenAware(2000.0, 1.5, 0.8), Past(), _seen(counted)) == 4  # 10 x 1000 / 2000 / 1.5
    assert _desired(TokenAware(2000.0 / 6, 1.5, 0.8), Past(), _seen(counted)) == 5  # 20, at the rate of an HPA
    assert _desired(TokenAware(1e9, 1.5, 0.4), Past(), _seen(_sample(kv_usage=0.9))) == 3


def _latency(first_s: float, count: float = 100.0) -> EngineSample:
    """All of them took as long."""
    buckets = {first_s - 1e-6: 0.0, first_s: count, float("inf"): count}
    return _sample(time_to_first_token_s=Histogram(buckets, 1.0, count))


@pytest.mark.parametrize(
    ("first_s", "starting", "wanted"),
    [(3.0, 0, 4), (1.3, 0, 2), (0.9, 0, 2), (0.6, 0, 1), (3.0, 2, 4), (1.6, 2, 4)],
)
def test_the_objective_rule_goes_up_and_down_beside_a_band_and_discounts_what_starts(
    first_s: float, starting: int, wanted: int
) -> None:
    """Above the band n + ceil(n (s c / 0.55 - 1)), below it n - floor(n (1 - s / 0.40))."""
    behavior = Behavior(Rule(0.0, 100.0, 40, 15.0), Rule(0.0, 100.0, 40, 15.0))
    policy = ObjectiveAware(Limits(3.0, 0.2), behavior=behavior)
    before, now = _latency(first_s, count=0.0), _latency(first_s)
    _, past = policy(SCALING, ObjectivePast(), _seen(before, before, starting=starting, now_s=950))
    assert _desired(policy, past, _seen(now, now, starting=starting)) == wanted


def test_no_data_is_idle_to_the_objective_rule() -> None:
    behavior = Behavior(down=Rule(0.0, 100.0, 40, 15.0))
    assert _desired(ObjectiveAware(Limits(), behavior=behavior), ObjectivePast(), _seen(GONE, GONE, GONE)) == 1


# Dynamo


PROFILE = EngineProfile("p", ((1, 0.01), (2048, 0.2)), 0.0, 10_000)


def test_a_floor_follows_from_what_arrived_in_its_interval() -> None:
    policy = Floor(PROFILE, Limits(), utilization=0.5)
    before = _sample(first_tokens_total=0, prompt_tokens_total=0, generation_tokens_total=0)
    after = _sample(first_tokens_total=1800, prompt_tokens_total=1_800_000, generation_tokens_total=180_000)
    _, past = policy(SCALING, FloorPast(), _seen(before, now_s=1000))
    decision, past = policy(SCALING, past, _seen(after, now_s=1180))
    expected = 10 * seconds_per_request(PROFILE, Limits(), Rates(10, 1000, 100)) / 0.5
    assert decision.desired == past.floor == -int(-expected // 1)


def test_one_replica_goes_only_where_the_rest_hold_the_load() -> None:
    policy = Floor(PROFILE, Limits(), kv=0.8)
    floor = FloorPast(0, 1000.0, {})
    assert _desired(policy, floor, _seen(_sample(kv_usage=0.6), _sample(kv_usage=0.6))) == 2
    assert _desired(policy, floor, _seen(_sample(kv_usage=0.2), _sample(kv_usage=0.2))) == 1
    assert _desired(policy, floor, _seen(_sample(kv_usage=0.9), _sample(kv_usage=0.9))) == 3
    assert _desired(policy, floor, _seen(_sample(kv_usage=0.9), _sample(kv_usage=0.9), starting=1)) == 3


# Hindsight


def test_a_clairvoyant_fleet_has_what_the_coming_cold_start_needs() -> None:
    quiet = [Arrival(time_s, 1000, 100) for time_s in range(600)]
    busy = [Arrival(600 + time_s / 10, 1000, 100) for time_s in range(3000)]
    policy = Clairvoyant([*quiet, *busy], PROFILE, Limits(), start_s=1000.0, utilization=0.9)
    early = _desired(policy, None, _seen(_sample(), now_s=1100))
    assert early == 1
    assert _desired(policy, None, _seen(_sample(), now_s=1000 + 600 - 200)) == 1
    assert _desired(policy, None, _seen(_sample(), now_s=1000 + 600 - 110)) == 3
    assert _desired(Static(7), None, _seen(_sample())) == 7


# Signals


def test_rates_are_of_pods_seen_twice_and_a_restart_adds_nothing() -> None:
    old = {"a": _sample(first_tokens_total=10, prompt_tokens_total=100, generation_tokens_total=50)}
    new = {
        "a": _sample(first_tokens_total=30, prompt_tokens_total=300, generation_tokens_total=150),
        "b": _sample(first_tokens_total=99, prompt_tokens_total=99, generation_tokens_total=99),
    }
    assert rates(old, new, 10.0) == Rates(2.0, 10.0, 5.0)
    assert rates(new, old, 10.0).requests == 0.0


def test_a_quantile_is_of_what_a_histogram_grew_by() -> None:
    old = Histogram({1.0: 10, 2.0: 10, float("inf"): 10}, 0, 10)
    new = Histogram({1.0: 10, 2.0: 20, float("inf"): 20}, 0, 20)
    assert quantile([(old, new)], 0.9) == pytest.approx(1.9)
    assert quantile([(new, new)], 0.9) is None
    assert quantile([(None, None)], 0.9) is None


def test_the_kv_signal_is_a_share() -> None:
    assert kv_usage(_sample(kv_usage=0.4)) == 0.4
    assert concurrency(_sample(running=None)) is None
