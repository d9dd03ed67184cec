"""One run: a policy in command of a simulated fleet, under given traffic and faults. Deterministic by its seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Literal, Protocol, TypeVar

from modelyard.api.scaling import Scaling
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.scaling.decision import Change, Decision
from modelyard.scaling.observation import Observation, State
from modelyard.scaling.simulator.agenda import Agenda
from modelyard.scaling.simulator.clients import Clients
from modelyard.scaling.simulator.faults import CapacityChange, Crash, Fault, MassAbort, SpotLoss
from modelyard.scaling.simulator.fleet import Fleet
from modelyard.scaling.simulator.metrics import Scraping
from modelyard.scaling.simulator.pod import Pod
from modelyard.scaling.simulator.profile import EngineProfile
from modelyard.scaling.simulator.request import Request
from modelyard.scaling.simulator.router import LeastLoaded, PerConnection, Router
from modelyard.scaling.simulator.starts import Starts

MONDAY_S = 1_767_571_200.0
"""Monday, 2026-01-05, 00:00 UTC: when a run begins, unless it says otherwise."""

Memory = TypeVar("Memory")
M = TypeVar("M")


class Policy(Protocol[M]):
    """The shape of ``scaling.decide.decide``: what is seen, and what it remembers, to a decision."""

    def __call__(self, scaling: Scaling, memory: M, observation: Observation, /) -> tuple[Decision, M]: ...


@dataclass(frozen=True)
class Scenario:
    """Traffic, engine and faults. It begins with ``replicas``, with devices for ``replicas_limit``; None is no limit.
    Clients try again every second for ``patience_s`` where no replica is ready.

    The run ends ``tail_s`` after ``duration_s``, or before, when all requests have ended.
    """

    clients: Clients
    profile: EngineProfile
    duration_s: float
    start_s: float = MONDAY_S
    replicas: int = 1
    replicas_limit: int | None = None
    starts: Starts = field(default_factory=Starts)
    routing: Literal["LeastLoaded", "PerConnection"] = "LeastLoaded"
    scraping: Scraping = field(default_factory=Scraping)
    tick_s: float = 15.0
    drain_s: float = 300.0
    patience_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    tail_s: float = 600.0
    seed: int = 0


@dataclass(frozen=True)
class Look:
    """The fleet right after a decision: pods by state, requests, and devices held."""

    time_s: float
    desired: int
    reason: str
    states: dict[State, int]
    waiting: int
    running: int


@dataclass
class Outcome:
    """All requests in the order of their arrival, a look per tick, the changes of the number of replicas, and (time,
    devices held) at each change. ``end_s`` is the last moment simulated.
    """

    scenario: Scenario
    requests: list[Request] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    held: list[tuple[float, int]] = field(default_factory=list)
    end_s: float = 0.0


def run(
    scenario: Scenario,
    policy: Policy[Memory],
    scaling: Scaling,
    memory: Memory,
    progress: Callable[[float], None] = lambda _: None,
) -> Outcome:
    """Have ``policy`` decide, beginning with ``memory``. ``progress`` is called with the share of time that is done."""
    return _Run(scenario, policy, scaling, memory, progress).outcome()


class _Run(Generic[Memory]):
    def __init__(
        self,
        scenario: Scenario,
        policy: Policy[Memory],
        scaling: Scaling,
        memory: Memory,
        progress: Callable[[float], None],
    ) -> None:
        self._scenario = scenario
        self._policy = policy
        self._scaling = scaling
        self._memory = memory
        self._progress = progress
        self._agenda = Agenda(scenario.start_s)
        self._chance = random.Random(scenario.seed)
        self._fleet = Fleet(
            self._agenda,
            scenario.profile,
            starts=scenario.starts,
            drain_s=scenario.drain_s,
            chance=random.Random(scenario.seed + 1),
            ended=self._ended,
        )
        self._router: Router = (
            LeastLoaded() if scenario.routing == "LeastLoaded" else PerConnection(random.Random(scenario.seed + 2))
        )
        self._arrivals = scenario.clients.opening(scenario.start_s)
        self._end_s = scenario.start_s + scenario.duration_s
        self._open = 0  # requests that arrived and did not end
        self._woken_s: float | None = None
        self._outcome = Outcome(scenario)

    def outcome(self) -> Outcome:
        scenario, agenda = self._scenario, self._agenda
        self._fleet.begin_with(scenario.replicas, scenario.replicas_limit)
        for fault in scenario.faults:
            agenda.at(scenario.start_s + fault.time_s, partial(self._befall, fault))
        self._next_arrival()
        agenda.at(scenario.start_s + scenario.scraping.interval_s - scenario.scraping.delay_s, self._scrape)
        agenda.at(scenario.start_s + scenario.tick_s, self._tick, last=True)
        agenda.run(self._end_s + scenario.tail_s, self._is_done)
        self._outcome.held = self._fleet.held
        self._outcome.end_s = agenda.now_s
        return self._outcome

    def _is_done(self) -> bool:
        return self._agenda.now_s >= self._end_s and not self._open

    # Requests

    def _next_arrival(self) -> None:
        request = next(self._arrivals, None)
        if request is not None and request.arrived_s < self._end_s:
            self._agenda.at(request.arrived_s, lambda: self._arrive(request, opening=True))

    def _arrive(self, request: Request, opening: bool) -> None:
        self._open += 1
        self._outcome.requests.append(request)
        self._send(request)
        if opening:
            self._next_arrival()

    def _send(self, request: Request) -> None:
        now_s, fleet = self._agenda.now_s, self._fleet
        if not fleet.serving:
            self._woken_s = now_s
            if now_s - request.arrived_s < self._scenario.patience_s:
                self._agenda.at(now_s + 1.0, lambda: self._send(request))
            else:
                self._fail(request, "no replica is ready")
        elif not fleet.submit(self._router.choose(request, fleet.serving, now_s), request):
            self._fail(request, "longer than the KV cache")

    def _fail(self, request: Request, failure: str) -> None:
        request.failure = failure
        self._ended(request)

    def _ended(self, request: Request) -> None:
        now_s = self._agenda.now_s if request.finished_s is None else request.finished_s
        self._open -= 1
        self._router.ended(request, now_s)
        following = self._scenario.clients.after(request, now_s)
        if following is not None and following.arrived_s < self._end_s:
            self._agenda.at(following.arrived_s, lambda: self._arrive(following, opening=False))

    def _befall(self, fault: Fault) -> None:
        match fault:
            case SpotLoss():
                self._fleet.lose(fault.replicas, fault.notice_s)
            case Crash():
                self._fleet.crash(fault.replicas, fault.restart_s)
            case CapacityChange():
                self._fleet.limit(fault.replicas)
            case MassAbort():
                self._fleet.abort(fault.gauges_freeze)

    # The policy

    def _scrape(self) -> None:
        now_s, scraping = self._agenda.now_s, self._scenario.scraping
        self._fleet.advance()
        elapsed_s = now_s - self._scenario.start_s
        seen = [
            (pod, scraping.sample(pod.engine, now_s, elapsed_s, self._chance))
            for pod in self._fleet.pods
            if pod.engine is not None
        ]
        self._agenda.at(now_s + scraping.delay_s, lambda: _deliver(seen))
        self._agenda.at(now_s + scraping.interval_s, self._scrape)

    def _tick(self) -> None:
        now_s, fleet = self._agenda.now_s, self._fleet
        fleet.advance()
        decision, self._memory = self._policy(self._scaling, self._memory, self._observation())
        if decision.desired != fleet.current:
            self._outcome.changes.append(Change(now_s, fleet.current, decision.desired, decision.reason))
            fleet.resize(decision.desired, decision.idlest)
        self._outcome.looks.append(self._look(decision))
        self._progress(min((now_s - self._scenario.start_s) / self._scenario.duration_s, 1.0))
        self._agenda.at(now_s + self._scenario.tick_s, self._tick, last=True)

    def _observation(self) -> Observation:
        fleet = self._fleet
        return Observation(
            now_s=self._agenda.now_s,
            current=fleet.current,
            replicas=tuple(pod.seen() for pod in fleet.pods),
            cold_start=fleet.cold_start(),
            capacity=fleet.capacity(),
            woken_s=self._woken_s,
        )

    def _look(self, decision: Decision) -> Look:
        pods = self._fleet.pods
        gauges = [pod.engine.gauges for pod in pods if pod.engine is not None]
        return Look(
            self._agenda.now_s,
            decision.desired,
            decision.reason,
            {state: sum(pod.state is state for pod in pods) for state in State},
            sum(each.waiting for each in gauges),
            sum(each.running for each in gauges),
        )


def _deliver(seen: list[tuple[Pod, EngineSample | Unknown]]) -> None:
    for pod, sample in seen:
        if pod.engine is not None:
            pod.sample = sample
