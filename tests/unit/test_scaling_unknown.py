"""Unknown is never zero: what is not known neither adds nor takes replicas away, and the decision names it."""

from dataclasses import replace

import pytest

from modelyard.api.scaling import Scaling, Schedule, Targets
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.scaling import reasons
from modelyard.scaling.decide import decide
from modelyard.scaling.decision import Decision
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import State
from tests.support.scaled_service import NO_ANSWER, ScaledService

PAGE = "http://10.0.0.1:8000/metrics of pod team/llama-1"
BY_DEMAND = Scaling(max_replicas=10)
BY_QUEUE = Scaling(max_replicas=10, targets=Targets(queue_depth=5))
BY_QUEUE_AND_KV = Scaling(max_replicas=10, targets=Targets(queue_depth=5, kv_cache_usage=70))
EITHER = pytest.mark.parametrize("scaling", [BY_DEMAND, BY_QUEUE], ids=["demand", "targets"])


@EITHER
def test_all_unknown_holds_and_names_the_pods_and_the_url(scaling: Scaling) -> None:
    service = ScaledService(scaling, replicas=6)
    service.ticks(10, 6.0)
    before = service.current
    service.ticks(80, 6.0, unknown=None)
    last = service.decisions[-1]
    assert (last.desired, last.reason) == (before, reasons.METRICS_UNAVAILABLE)
    assert f"llama-1: {NO_ANSWER.cause}" in last.message
    assert f"llama-2: {NO_ANSWER.cause}" in last.unknown


@EITHER
def test_unknown_since_birth_holds_at_what_runs(scaling: Scaling) -> None:
    service = ScaledService(scaling, replicas=3)
    service.ticks(60, 1.0, unknown=None)
    assert {decision.desired for decision in service.decisions} == {3}


@EITHER
def test_the_end_of_an_outage_takes_nothing_away_at_once(scaling: Scaling) -> None:
    service = ScaledService(scaling, replicas=6)
    service.ticks(40, 6.0)
    before = service.current
    service.ticks(80, 0.5, unknown=None)
    service.ticks(10, 0.5)
    assert service.current == before


def test_an_idle_fleet_of_which_one_replica_is_unknown_stays() -> None:
    """One that is not known counts as full."""
    service = ScaledService(BY_DEMAND, replicas=2)
    service.ticks(80, 0.05, unknown=["llama-1"])
    assert service.current == 2


def test_a_replica_that_is_unknown_counts_as_empty_for_scaling_up() -> None:
    """Two full replicas ask for three; with a third that is not known and counts as empty, three are enough."""
    service = ScaledService(BY_DEMAND, replicas=3)
    for _ in range(20):
        service.tick(3 * 0.7 / 0.44, unknown=["llama-3"])
    assert service.current == 3


def test_what_is_known_may_raise_alone() -> None:
    service = ScaledService(BY_DEMAND, replicas=2)
    service.ticks(10, 2.0)
    service.ticks(20, 8.0, unknown=["llama-2"])
    assert service.current > 2


def test_of_two_signals_the_known_one_may_raise_and_never_lowers() -> None:
    service = ScaledService(BY_QUEUE_AND_KV, replicas=3)
    for _ in range(60):
        service.tick(0.1, kv_usage=None)
    last = service.decisions[-1]
    assert (last.desired, last.reason) == (3, reasons.PARTLY_UNKNOWN)
    assert "kvCacheUsage" in last.message
    assert any("kvCacheUsage" in cause for cause in last.unknown)
    for _ in range(4):
        service.tick(20.0, kv_usage=None)
    assert service.current > 3


def test_a_signal_that_was_there_before_and_is_gone_is_unknown() -> None:
    """A metric that a new version of the engine names otherwise."""
    service = ScaledService(BY_DEMAND, replicas=4)
    service.ticks(10, 6.0)
    before = service.current
    for _ in range(80):
        service.tick(0.1, kv_usage=None, missing={"kv_usage": f"{PAGE} has no metric vllm:kv_cache_usage_perc"})
    last = service.decisions[-1]
    assert (last.desired, last.reason) == (before, reasons.PARTLY_UNKNOWN)
    assert "kvCacheUsage" in last.message


def test_gauges_that_were_never_seen_under_their_names_hold_the_way_down() -> None:
    """As after a restart of the operator: what the engine should have is known from its table, not from memory."""
    missing = {
        "waiting": f"{PAGE} has no metric vllm:num_requests_waiting",
        "kv_usage": f"{PAGE} has no metric vllm:kv_cache_usage_perc",
    }
    service = ScaledService(BY_DEMAND, replicas=4)
    for _ in range(80):
        service.tick(0.1, waiting=None, kv_usage=None, missing=missing)
    last = service.decisions[-1]
    assert (last.desired, last.reason) == (4, reasons.PARTLY_UNKNOWN)
    assert last.unknown == (f"queueDepth: {missing['waiting']}", f"kvCacheUsage: {missing['kv_usage']}")


@pytest.mark.parametrize("restarted", [False, True])
def test_counters_that_have_other_names_are_unavailable_and_named(*, restarted: bool) -> None:
    cause = f"{PAGE} has no metric vllm:generation_tokens_total"
    renamed = dict.fromkeys(("generation_tokens_total", "prompt_tokens_total", "finished_total"))
    service = ScaledService(BY_DEMAND, replicas=3)
    if not restarted:
        service.ticks(10, 3.0)
    before = service.current
    for _ in range(40):
        service.tick(3.0, **renamed, missing=dict.fromkeys(renamed, cause))
    last = service.decisions[-1]
    assert (last.desired, last.reason) == (before, reasons.METRICS_UNAVAILABLE)
    assert last.unknown == (f"demand: {cause}",)
    assert cause in last.message


def test_requests_do_not_take_the_place_of_tokens_that_are_missing() -> None:
    """A request is no token: in its unit, a full fleet would look idle."""
    cause = f"{PAGE} has no metric vllm:generation_tokens_total"
    service = ScaledService(BY_DEMAND, replicas=6)
    service.ticks(20, 6.0)
    before = service.current
    for _ in range(80):
        service.tick(6.0, generation_tokens_total=None, missing={"generation_tokens_total": cause})
    assert (service.current, service.decisions[-1].reason) == (before, reasons.METRICS_UNAVAILABLE)


def test_a_target_that_no_replica_reports_is_unavailable_and_named() -> None:
    cause = f"{PAGE} has no metric vllm:num_requests_waiting"
    service = ScaledService(BY_QUEUE, replicas=3)
    for _ in range(10):
        service.tick(3.0, waiting=None, missing={"waiting": cause})
    last = service.decisions[-1]
    assert (last.desired, last.reason) == (3, reasons.METRICS_UNAVAILABLE)
    assert f"queueDepth: {cause}" in last.message


def test_replicas_that_report_without_counters_are_named_beside_those_that_count() -> None:
    cause = f"{PAGE} has no metric vllm:generation_tokens_total"
    service = ScaledService(BY_DEMAND, replicas=2)
    service.ticks(10, 2.0)
    service.tick(2.0)
    renamed = service.pods[0]
    sample = renamed.measured(service.now_s + 15)
    for pod in service.pods:
        pod.sample = pod.measured(service.now_s + 15)
    renamed.sample = replace(sample, generation_tokens_total=None, missing={"generation_tokens_total": cause})
    service.now_s += 15
    assert decide_again(service).unknown == (f"demand: {cause}",)


def test_gauges_that_an_engine_has_only_after_its_first_step_hold_nothing() -> None:
    """Several API servers of vLLM report gauges after their first request; a replica may never get one."""
    missing = dict.fromkeys(("waiting", "running", "kv_usage"), f"{PAGE} has no sample of it yet")
    service = ScaledService(BY_DEMAND, replicas=3)
    for _ in range(80):
        service.tick(waiting=None, running=None, kv_usage=None, missing=missing)
    assert service.current == 1


@pytest.mark.parametrize("scaling", [BY_DEMAND, BY_QUEUE_AND_KV], ids=["demand", "targets"])
def test_the_metric_that_is_missing_is_named_with_its_pod_and_url(scaling: Scaling) -> None:
    cause = "http://10.0.0.1:8000/metrics of pod team/llama-1 has no metric vllm:kv_cache_usage_perc"
    service = ScaledService(scaling, replicas=3)
    service.ticks(10, 3.0)
    for _ in range(4):
        service.tick(3.0, kv_usage=None, missing={"kv_usage": cause})
    last = service.decisions[-1]
    assert f"kvCacheUsage: {cause}" in last.unknown
    assert cause in last.message


def test_an_engine_that_never_had_a_kv_cache_scales_down() -> None:
    service = ScaledService(BY_DEMAND, replicas=4)
    for _ in range(80):
        service.tick(0.1, kv_usage=None)
    assert service.current == 1


def test_metrics_that_are_older_than_two_intervals_are_unknown() -> None:
    service = ScaledService(BY_DEMAND, replicas=2)
    service.ticks(10, 2.0)
    old = {pod.name: pod.sample for pod in service.pods}
    service.now_s += 45
    for pod in service.pods:
        sample = old[pod.name]
        assert isinstance(sample, EngineSample)
        pod.sample = replace(sample, place=PAGE)
    decision = decide_again(service)
    assert decision.reason == reasons.METRICS_UNAVAILABLE
    assert f"{PAGE} has metrics that are 45 s old" in decision.message


@pytest.mark.parametrize("interval_s", [15.0, 60.0, 180.0, 600.0])
def test_a_sample_counts_for_two_intervals_of_its_source(interval_s: float) -> None:
    """Decisions are made more often than a slow Prometheus scrapes: none of them is blind, the first included."""
    service = ScaledService(BY_DEMAND, replicas=2)
    for scrape in range(4):
        measured_s = service.now_s
        for tick in range(int(interval_s // 15)):
            service.now_s = measured_s + 15.0 * tick
            for pod in service.pods:
                pod.serve(0.5, 15.0)
                if tick == 0:
                    pod.sample = replace(pod.measured(measured_s), interval_s=interval_s)
            decision = decide_again(service)
            assert decision.unknown == (), (scrape, tick)
            assert decision.reason != reasons.METRICS_UNAVAILABLE
        service.now_s = measured_s + interval_s
    service.now_s += interval_s + 1
    assert decide_again(service).reason == reasons.METRICS_UNAVAILABLE


def decide_again(service: ScaledService) -> Decision:
    decision, service.memory = decide(service.scaling, service.memory, service.observation())
    return decision


@EITHER
def test_bounds_hold_while_nothing_is_known(scaling: Scaling) -> None:
    schedule = Schedule(start="00:00", end="00:00", min_replicas=4)
    service = ScaledService(scaling.model_copy(update={"schedules": [schedule]}), replicas=2)
    service.tick(1.0, unknown=None)
    assert (service.current, service.decisions[-1].reason) == (4, reasons.SCHEDULED)
    service.scaling = scaling.model_copy(update={"max_replicas": 3})
    service.ticks(20, 1.0, unknown=None)
    assert service.current == 3


def test_after_a_restart_of_the_operator_nothing_jumps() -> None:
    service = ScaledService(BY_DEMAND, replicas=3)
    service.ticks(80, 5.0)
    before = service.current
    service.decisions.clear()
    service.memory = Memory.restored(service.memory.changes, current=service.current)
    service.ticks(30, 5.0)
    assert {decision.desired for decision in service.decisions} == {before}
    assert service.decisions[0].reason == reasons.MEASURING


def test_samples_of_a_pod_that_is_gone_are_dropped() -> None:
    service = ScaledService(BY_DEMAND, replicas=3)
    service.ticks(10, 4.0)
    gone = service.pods.pop(0)
    service.tick(4.0)
    assert gone.name not in service.memory.meters


def test_a_new_replica_that_did_not_report_yet_is_not_called_unknown() -> None:
    service = ScaledService(BY_DEMAND, replicas=2)
    service.ticks(10, 2.0)
    service.pods[0].become(State.SERVING, service.now_s + 10)
    service.memory = Memory()
    service.tick(2.0, unknown=["llama-1"])
    assert service.decisions[-1].unknown == ()


def test_full_replicas_ask_for_one_more_beside_one_that_is_unknown() -> None:
    service = ScaledService(Scaling(max_replicas=12), replicas=4)
    service.ticks(10, 3.0)
    before = service.current
    for _ in range(4):
        service.tick(3.0, unknown=["llama-1"], kv_usage=0.97)
    assert service.current > before


def test_replicas_with_full_caches_and_queues_stay_beside_one_that_is_unknown() -> None:
    service = ScaledService(Scaling(max_replicas=30), replicas=6)
    for _ in range(60):
        service.tick(0.3, unknown=["llama-1"], kv_usage=0.9, waiting=20.0)
    assert service.current >= 6
