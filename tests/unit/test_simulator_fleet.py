"""The simulated fleet: what it costs, what befalls it, and what a policy sees of it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from modelyard.api.scaling import Scaling
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.scaling.decision import Decision
from modelyard.scaling.observation import Observation, State
from modelyard.scaling.simulator.clients import Arrival, ClosedLoop, OpenLoop
from modelyard.scaling.simulator.engine import Engine
from modelyard.scaling.simulator.faults import CapacityChange, Crash, MassAbort, SpotLoss
from modelyard.scaling.simulator.metrics import Scraping
from modelyard.scaling.simulator.pod import Pod
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.request import Request
from modelyard.scaling.simulator.router import LeastLoaded, PerConnection
from modelyard.scaling.simulator.run import Outcome, Scenario, run
from modelyard.scaling.simulator.score import Limits, held_hours, score
from modelyard.scaling.simulator.starts import Starts

SCALING = Scaling(max_replicas=64)
PROFILE = EngineProfile("test", ((1, 0.05), (128, 0.06), (2048, 0.5)), 1e-6, 50_000, devices=2)


@dataclass
class Plan:
    """A policy that follows a plan of replicas by seconds since the start, and keeps what it saw."""

    replicas: Mapping[float, int]
    start_s: float = 0.0
    seen: list[Observation] = field(default_factory=list)

    def __call__(self, scaling: Scaling, memory: None, observation: Observation) -> tuple[Decision, None]:  # noqa: ARG002
        self.seen.append(observation)
        passed = [at_s for at_s in self.replicas if at_s <= observation.now_s - self.start_s]
        desired = self.replicas[max(passed)] if passed else observation.current
        return Decision(desired, desired, "Plan", "", {}), None

    def at(self, time_s: float) -> Observation:
        return next(seen for seen in self.seen if seen.now_s >= self.start_s + time_s)


def _steady(per_s: float, duration_s: float, output_tokens: int = 40) -> OpenLoop:
    return OpenLoop([Arrival(at / per_s, 300, output_tokens) for at in range(int(per_s * duration_s))])


def _scenario(**fields: object) -> Scenario:
    base = Scenario(_steady(2, 600), PROFILE, 600, start_s=0.0, starts=Starts(100, 0.0), replicas=2)
    return replace(base, **fields)  # type: ignore[arg-type] # fields of Scenario


def _run(scenario: Scenario, plan: Mapping[float, int] | None = None) -> tuple[Outcome, Plan]:
    policy = Plan(plan or {})
    return run(scenario, policy, SCALING, None), policy


def _states(observation: Observation) -> list[State]:
    return [replica.state for replica in observation.replicas]


def test_a_replica_holds_devices_from_its_start_and_serves_after_its_cold_start() -> None:
    outcome, policy = _run(_scenario(), {150: 3})
    assert _states(policy.at(165)) == [State.SERVING, State.SERVING, State.STARTING]
    assert _states(policy.at(240)) == [State.SERVING, State.SERVING, State.STARTING]
    assert _states(policy.at(255)) == [State.SERVING] * 3
    assert outcome.held[:3] == [(0.0, 0), (0.0, 2), (0.0, 4)]
    assert outcome.held[3] == (150.0, 6)


def test_device_hours_are_those_held_within_the_time_that_counts() -> None:
    assert held_hours([(0, 2), (1800, 4)], 0, 3600) == 3
    assert held_hours([(0, 2), (1800, 4)], 1800, 3600) == 2
    outcome, _ = _run(_scenario(), {150: 3})
    assert score(outcome, Limits(), 64, warm_up_s=0).device_hours == pytest.approx((600 * 4 + 450 * 2) / 3600)


def test_every_request_ends_once_and_is_counted_by_the_engines() -> None:
    outcome, _ = _run(_scenario())
    assert len(outcome.requests) == 1200
    assert all(request.finished_s is not None and request.failure is None for request in outcome.requests)


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    def replayed(seed: int) -> list[float | None]:
        scenario = _scenario(routing="PerConnection", seed=seed, starts=Starts(100, 0.3))
        outcome, _ = _run(scenario, {100: 4})
        return [request.finished_s for request in outcome.requests]

    assert replayed(1) == replayed(1)
    assert replayed(1) != replayed(2)


def test_a_replica_that_leaves_finishes_its_requests_and_holds_its_devices_meanwhile() -> None:
    outcome, policy = _run(_scenario(), {300: 1})
    assert State.LEAVING not in _states(policy.at(330))
    gone_s = outcome.held[-1][0]
    assert 300 < gone_s < 310
    assert not any(request.failure for request in outcome.requests)


def test_the_end_of_the_drain_cuts_what_is_still_running() -> None:
    outcome, _ = _run(_scenario(clients=_steady(2, 600, output_tokens=1000), drain_s=10), {300: 1})
    cut = [request for request in outcome.requests if request.failure]
    assert cut
    assert {request.failure for request in cut} == {"cut at the end of the drain"}
    assert score(outcome, Limits(), 64, warm_up_s=0).failed == len(cut)


def test_pending_and_starting_replicas_are_removed_before_serving_ones() -> None:
    limit = CapacityChange(0, 3)
    _, policy = _run(_scenario(faults=(limit,)), {60: 5, 120: 3, 135: 2})
    assert sorted(state.value for state in _states(policy.at(75))) == [
        *("pending", "pending", "serving", "serving", "starting"),
    ]
    assert sorted(state.value for state in _states(policy.at(135))) == ["serving", "serving", "starting"]
    assert _states(policy.at(150)) == [State.SERVING, State.SERVING]


def test_replicas_without_devices_are_pending_and_the_capacity_says_so() -> None:
    outcome, policy = _run(_scenario(faults=(CapacityChange(0, 3), CapacityChange(200, 4))), {60: 5})
    seen = policy.at(75).capacity
    assert seen is not None
    assert (seen.achievable, seen.reason) == (3, "GPUsUnavailable")
    seen = policy.at(210).capacity
    assert seen is not None
    assert seen.achievable == 4
    assert max(devices for _, devices in outcome.held) == 4 * 2


def test_a_spot_loss_without_notice_fails_what_ran_there_and_is_replaced_at_once() -> None:
    outcome, policy = _run(_scenario(replicas=4, faults=(SpotLoss(301, 2),)))
    assert any(request.failure == "lost with its node" for request in outcome.requests)
    assert sorted(state.value for state in _states(policy.at(315))) == ["serving", "serving", "starting", "starting"]
    assert _states(policy.at(420)) == [State.SERVING] * 4


def test_a_spot_loss_with_enough_notice_fails_nothing() -> None:
    outcome, _ = _run(_scenario(replicas=4, faults=(SpotLoss(301, 2, notice_s=60),)))
    assert not any(request.failure for request in outcome.requests)


def test_a_crash_fails_what_ran_and_the_replica_comes_back() -> None:
    outcome, policy = _run(_scenario(faults=(Crash(301, 1, restart_s=45),)))
    assert sorted(state.value for state in _states(policy.at(315))) == ["serving", "unready"]
    assert _states(policy.at(360)) == [State.SERVING, State.SERVING]
    assert any(request.failure == "its engine crashed" for request in outcome.requests)
    assert all(request.finished_s for request in outcome.requests if request.arrived_s > 302)


def test_a_replica_that_cannot_start_is_unready_after_its_limit() -> None:
    starts = Starts(100, 0.0, limit_s=200, broken_from_s=0, broken_until_s=1000)
    _, policy = _run(_scenario(starts=starts), {60: 3})
    assert State.STARTING in _states(policy.at(255))
    assert State.UNREADY in _states(policy.at(270))


def test_requests_without_a_ready_replica_fail_unless_clients_are_patient() -> None:
    at_zero = _scenario(replicas=0)
    outcome, policy = _run(at_zero, {60: 1})
    failed = [request for request in outcome.requests if request.failure]
    assert {request.failure for request in failed} == {"no replica is ready"}
    assert all(request.arrived_s < 160.1 for request in failed)
    assert policy.at(30).woken_s is not None
    patient, _ = _run(replace(at_zero, patience_s=300), {60: 1})
    assert not any(request.failure for request in patient.requests)


def test_a_policy_sees_samples_as_they_were_scraped() -> None:
    _, policy = _run(_scenario(scraping=Scraping(30, delay_s=5)))
    sample = policy.at(90).replicas[0].sample
    assert isinstance(sample, EngineSample)
    assert sample.time_s == 85
    later = policy.at(105).replicas[0].sample
    assert later == sample
    assert sample.running == pytest.approx(1, abs=10)
    assert policy.at(300).cold_start is not None


def test_gaps_and_outages_are_unknown_and_not_zero() -> None:
    scraping = Scraping(15, outages=((100, 200),))
    _, policy = _run(_scenario(scraping=scraping))
    assert isinstance(policy.at(90).replicas[0].sample, EngineSample)
    assert isinstance(policy.at(135).replicas[0].sample, Unknown)
    assert isinstance(policy.at(225).replicas[0].sample, EngineSample)
    _, policy = _run(_scenario(scraping=Scraping(15, gap_share=0.5)))
    unknown = [isinstance(replica.sample, Unknown) for seen in policy.seen[1:] for replica in seen.replicas]
    assert 0.3 < sum(unknown) / len(unknown) < 0.7


def test_a_replica_that_starts_has_no_sample() -> None:
    _, policy = _run(_scenario(), {150: 3})
    assert isinstance(policy.at(180).replicas[2].sample, Unknown)


def test_gauges_of_a_mass_abort_stay_in_an_engine_without_traffic() -> None:
    scenario = _scenario(clients=_steady(2, 300), faults=(MassAbort(299.9),))
    _, policy = _run(scenario)
    samples = [replica.sample for seen in (policy.at(330), policy.seen[-1]) for replica in seen.replicas]
    assert all(isinstance(sample, EngineSample) for sample in samples)
    running = [sample.running for sample in samples if isinstance(sample, EngineSample)]
    assert running[:2] == running[2:]
    assert max(each or 0 for each in running) > 0


def test_agents_in_a_closed_loop_never_have_more_than_one_request_each() -> None:
    clients = ClosedLoop(10, [(300, 40)], duration_s=600, think_s=2.0)
    outcome, _ = _run(_scenario(clients=clients))
    assert max(look.running + look.waiting for look in outcome.looks) <= 10
    assert len(outcome.requests) > 10
    again, _ = _run(_scenario(clients=clients))
    assert [request.finished_s for request in again.requests] == [request.finished_s for request in outcome.requests]


def test_a_closed_loop_asks_for_more_of_a_faster_fleet() -> None:
    clients = ClosedLoop(200, [(1500, 100)], duration_s=600, think_s=0.5)
    small, _ = _run(_scenario(clients=clients, replicas=1))
    large, _ = _run(_scenario(clients=clients, replicas=8))
    assert len(large.requests) > 1.5 * len(small.requests)


def _pods(count: int) -> list[Pod]:
    pods = [Pod(f"pod-{at}", 0.0) for at in range(count)]
    for pod in pods:
        pod.become(State.SERVING, 0.0)
        pod.engine = Engine(PROFILE, 0.0)
    return pods


def test_a_gateway_sends_to_the_replica_with_the_fewest_requests() -> None:
    first, second = _pods(2)
    assert first.engine is not None
    first.engine.submit(Request(0.0, 100, 10), 0.0)
    assert LeastLoaded().choose(Request(0.0, 1, 1), [first, second], 0.0) is second


def test_a_client_uses_its_idle_connection_again_and_new_replicas_get_nothing_of_it() -> None:
    pods, router = _pods(10), PerConnection(random.Random(1), clients=1)
    used, now_s = set(), 0.0
    for _ in range(50):
        now_s += 4.0
        request = Request(now_s, 1, 1)
        used.add(router.choose(request, pods, now_s).name)
        router.ended(request, now_s)
    assert len(used) == 1


@pytest.mark.parametrize("why", ["the keep-alive is over", "its replica leaves", "the request failed"])
def test_a_new_connection_goes_to_any_replica(why: str) -> None:
    pods, router = _pods(50), PerConnection(random.Random(1), clients=1)
    used, now_s = set(), 0.0
    for _ in range(30):
        now_s += 6.0 if why == "the keep-alive is over" else 1.0
        request = Request(now_s, 1, 1)
        pod = router.choose(request, [pod for pod in pods if pod.serves], now_s)
        assert pod.serves
        used.add(pod.name)
        request.failure = why if why == "the request failed" else None
        router.ended(request, now_s)
        if why == "its replica leaves":
            pod.become(State.LEAVING, now_s)
    assert len(used) > 15


def test_requests_at_once_are_on_connections_of_their_own() -> None:
    pods, router = _pods(20), PerConnection(random.Random(1), clients=1)
    requests = [Request(0.0, 1, 1) for _ in range(40)]
    assert len({router.choose(request, pods, 0.0).name for request in requests}) > 10


def test_attainment_counts_failed_and_late_requests_as_missed() -> None:
    outcome, _ = _run(_scenario(faults=(SpotLoss(301, 2),)))
    result = score(outcome, Limits(), 64, warm_up_s=0)
    met = sum(Limits().attained_by(request) for request in outcome.requests)
    assert result.failed > 0
    assert result.attainment == met / len(outcome.requests) < 1


def test_each_replica_that_is_added_or_removed_is_a_change() -> None:
    outcome, _ = _run(_scenario(), {100: 5, 400: 4})
    result = score(outcome, Limits(), 5, warm_up_s=0)
    assert result.replicas_changed_per_hour == pytest.approx((3 + 1) * 6)
    assert result.changes_per_hour == pytest.approx(2 * 6)
    assert result.at_maximum_share == pytest.approx(0.5, abs=0.05)
