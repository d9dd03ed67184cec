"""Our policy in command of a simulated fleet, in situations that break autoscalers in production."""

from dataclasses import replace
from math import inf

import pytest

from modelyard.api.scaling import Scaling
from modelyard.scaling.decide import decide
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import State
from modelyard.scaling.simulator.clients import Arrival, ClosedLoop, OpenLoop
from modelyard.scaling.simulator.faults import CapacityChange, MassAbort
from modelyard.scaling.simulator.metrics import Scraping
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.run import Look, Outcome, Scenario, run
from modelyard.scaling.simulator.starts import Starts

PROFILE = EngineProfile("test", ((1, 0.024), (64, 0.030), (2048, 0.76)), 2.7e-7, 33_000)
"""A small GPU: 2700 tokens of prompts a second."""

INPUT, OUTPUT = 3000, 300
PER_REPLICA_PER_S = 0.4
"""Requests that keep a replica well used."""


def _arrivals(per_s: float, from_s: float, until_s: float) -> list[Arrival]:
    return [Arrival(from_s + at / per_s, INPUT, OUTPUT) for at in range(int(per_s * (until_s - from_s)))]


def _run(scenario: Scenario, minimum: int = 1, maximum: int = 12, **fields: object) -> Outcome:
    scaling = Scaling.model_validate({"minReplicas": minimum, "maxReplicas": maximum, **fields})
    return run(scenario, decide, scaling, Memory())


def _scenario(arrivals: list[Arrival], hours: float, replicas: int) -> Scenario:
    return Scenario(
        OpenLoop(arrivals), PROFILE, hours * 3600, start_s=0.0, replicas=replicas, starts=Starts(120, 0.0), tail_s=0.0
    )


def _between(outcome: Outcome, from_s: float, until_s: float = inf) -> list[Look]:
    return [look for look in outcome.looks if from_s <= look.time_s < until_s]


def _failed(outcome: Outcome) -> int:
    return sum(request.failure is not None for request in outcome.requests)


@pytest.mark.parametrize("replicas", [2, 3, 4, 5, 6])
def test_constant_load_for_an_hour_changes_nothing_once_the_fleet_has_found_its_size(replicas: int) -> None:
    outcome = _run(_scenario(_arrivals(replicas * PER_REPLICA_PER_S, 0, 5400), 1.5, replicas))
    assert not [change for change in outcome.changes if change.time_s >= 1800]


def test_agents_that_wait_for_their_answers_do_not_drive_the_fleet_to_its_maximum() -> None:
    clients = ClosedLoop(24, [(INPUT, OUTPUT)], duration_s=7200, think_s=3.0)
    scenario = replace(_scenario([], 2, 1), clients=clients)
    outcome = _run(scenario, maximum=24)
    assert max(look.desired for look in outcome.looks) < 24
    assert not [change for change in outcome.changes if change.time_s >= 5400]


def test_metrics_that_are_out_for_ten_minutes_change_nothing() -> None:
    scenario = _scenario(_arrivals(4 * PER_REPLICA_PER_S, 0, 5400), 1.5, 5)
    out = Scraping(outages=((3000.0, 3600.0),))
    outcome = _run(replace(scenario, scraping=out))
    before = _between(outcome, 2970, 3000)[-1].desired
    assert {look.desired for look in _between(outcome, 3030, 3600)} == {before}
    assert _failed(outcome) == 0


def test_half_of_the_scrapes_failing_takes_no_capacity_away_and_adds_none() -> None:
    scenario = _scenario(_arrivals(4 * PER_REPLICA_PER_S, 0, 5400), 1.5, 5)
    whole, half = _run(scenario), _run(replace(scenario, scraping=Scraping(gap_share=0.5)))
    assert half.looks[-1].desired >= whole.looks[-1].desired
    assert max(look.desired for look in half.looks) <= max(look.desired for look in whole.looks) + 1


def test_gauges_that_froze_at_a_mass_abort_are_no_load() -> None:
    traffic = _arrivals(4 * PER_REPLICA_PER_S, 0, 1800)
    scenario = replace(_scenario(traffic, 1, 5), faults=(MassAbort(1799.9),))
    outcome = _run(scenario)
    assert max(look.running for look in _between(outcome, 3000)) > 0, "the gauges are frozen"
    assert max(look.desired for look in _between(outcome, 1800)) <= _between(outcome, 1770, 1800)[-1].desired
    assert outcome.looks[-1].desired == 1


def test_load_for_more_than_there_are_gpus_leaves_few_pending_and_none_once_it_ends() -> None:
    traffic = [*_arrivals(6 * PER_REPLICA_PER_S, 0, 900), *_arrivals(0.15, 900, 5400)]
    scenario = replace(_scenario(traffic, 1.5, 1), faults=(CapacityChange(0.0, 2),))
    outcome = _run(scenario, maximum=8)
    assert {look.states[State.SERVING] for look in _between(outcome, 400, 900)} == {2}
    rising = [look.desired for look in _between(outcome, 300, 900)]
    assert max(rising) == rising[0], "it stops rising while nothing more can run"
    assert not any(look.states[State.PENDING] for look in _between(outcome, 4500))


def test_a_model_that_loads_for_longer_than_the_idle_window_is_not_put_to_sleep_as_it_loads() -> None:
    traffic = [Arrival(60.0 + at, INPUT, OUTPUT) for at in range(3)]
    scenario = replace(_scenario(traffic, 0.5, 0), starts=Starts(300, 0.0), patience_s=600.0)
    outcome = _run(scenario, minimum=0, idleAfterSeconds=60)
    assert _failed(outcome) == 0
    ready = next(look.time_s for look in outcome.looks if look.states[State.SERVING])
    asleep = next(look.time_s for look in outcome.looks if look.time_s > ready and look.desired == 0)
    assert asleep >= ready + 60
    assert len(outcome.changes) == 2


def test_short_requests_between_two_looks_keep_a_service_awake() -> None:
    traffic = [Arrival(20.0 + 40.0 * at, 20, 5) for at in range(85)]
    outcome = _run(_scenario(traffic, 1, 1), minimum=0, idleAfterSeconds=60)
    assert {look.desired for look in _between(outcome, 0, 3380)} == {1}
    assert _between(outcome, 3380)[-1].desired == 0
    assert _failed(outcome) == 0
