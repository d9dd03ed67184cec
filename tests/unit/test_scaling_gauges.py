"""Gauges count only while counters move, and counters that restart count on."""

from dataclasses import replace

import pytest

from modelyard.api.scaling import Scaling, Targets
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.scaling.meters import Meter, increase, read
from modelyard.scaling.observation import Replica, State
from tests.support.scaled_service import ScaledService

FROZEN = {"waiting": 15.0, "running": 106.0, "kv_usage": 0.9}


def sample(time_s: float, **values: float | None) -> EngineSample:
    return replace(EngineSample(time_s, generation_tokens_total=1000.0, prompt_tokens_total=500.0), **values)  # type: ignore[arg-type]


def readings(*samples: EngineSample | Unknown) -> Meter | None:
    meter = None
    for each in samples:
        meter = read(meter, Replica("llama-1", State.SERVING, -1e6, each))
    return meter


@pytest.mark.parametrize(
    "scaling", [Scaling(max_replicas=10), Scaling(max_replicas=10, targets=Targets(queue_depth=5))]
)
def test_gauges_that_froze_when_all_clients_hung_up_are_no_load(scaling: Scaling) -> None:
    service = ScaledService(scaling, replicas=3)
    service.ticks(9, 7.0)
    before = service.current
    for pod in service.of(State.SERVING):
        assert pod.waiting > 10
        pod.freeze()
    service.ticks(100, 0.0)
    numbers = [decision.desired for decision in service.decisions[12:]]
    assert numbers[-1] == 1
    assert max(numbers) == before


def test_gauges_are_believed_for_thirty_seconds_without_a_counter_that_moves() -> None:
    flat = [sample(time_s, **FROZEN) for time_s in (0.0, 15.0, 29.0)]
    meter = readings(*flat)
    assert meter is not None
    assert (meter.suspect, meter.waiting) == (False, 15.0)
    meter = readings(*flat, sample(30.0, **FROZEN))
    assert meter is not None
    assert (meter.suspect, meter.waiting, meter.running, meter.kv_usage) == (True, 0.0, 0.0, 0.0)


def test_a_long_prompt_moves_no_token_counter_but_iterations() -> None:
    meter = readings(*(sample(15.0 * at, running=1.0, iterations_total=10.0 * at) for at in range(10)))
    assert meter is not None
    assert not meter.suspect


def test_an_engine_without_counters_of_its_steps_is_believed() -> None:
    """Triton counts a request when it finishes, and one may take longer."""
    meter = readings(*(EngineSample(15.0 * at, waiting=3.0, finished_total=7.0) for at in range(10)))
    assert meter is not None
    assert meter.waiting == 3.0


def test_a_counter_that_is_smaller_than_before_restarted_from_zero() -> None:
    assert increase(100.0, 130.0) == 30.0
    assert increase(100.0, 12.0) == 12.0
    assert increase(None, 12.0) is None
    assert increase(100.0, None) is None


def test_an_engine_that_restarted_takes_no_demand_with_it() -> None:
    service = ScaledService(Scaling(max_replicas=10), replicas=3)
    service.ticks(60, 4.5)
    before = service.current
    for pod in service.pods:
        pod.served = pod.steps = 0.0
    service.ticks(40, 4.5)
    assert service.current == before


def test_without_a_newer_sample_the_last_interval_stays() -> None:
    first, second = sample(0.0, running=2.0), sample(15.0, running=2.0, generation_tokens_total=1150.0)
    meter = readings(first, second)
    assert readings(first, second, second, Unknown("slow")) == meter
    assert meter is not None
    assert meter.flow is not None
    assert meter.flow.output == pytest.approx(10.0)


def test_what_a_new_replica_did_since_it_was_ready_counts_with_its_first_sample() -> None:
    meter = read(None, Replica("llama-2", State.SERVING, 100.0, sample(110.0, running=1.0)))
    assert meter is not None
    assert meter.flow is not None
    assert meter.flow.output == pytest.approx(100.0)


def test_the_first_sample_of_an_old_replica_has_no_rates() -> None:
    meter = readings(sample(0.0))
    assert meter is not None
    assert meter.flow is None


def test_tokens_from_the_prefix_cache_are_no_work() -> None:
    meter = readings(
        sample(0.0, cached_prompt_tokens_total=0.0),
        sample(10.0, prompt_tokens_total=1500.0, cached_prompt_tokens_total=800.0),
    )
    assert meter is not None
    assert meter.flow is not None
    assert meter.flow.prompt == pytest.approx(20.0)


def test_a_request_that_just_reached_an_idle_engine_is_believed() -> None:
    """Counters stood still for long, and its first token is not there yet."""
    idle = [sample(15.0 * at, waiting=0.0, running=0.0, kv_usage=0.0) for at in range(20)]
    meter = readings(*idle, sample(300.0, waiting=3.0, running=1.0, kv_usage=0.1))
    assert meter is not None
    assert (meter.suspect, meter.waiting, meter.active_s) == (False, 3.0, 300.0)
