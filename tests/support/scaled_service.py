"""A service that follows decisions: a fleet of fluid engines, where requests are a stream and nothing is chance."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from modelyard.api.scaling import Scaling
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.scaling.decide import decide
from modelyard.scaling.decision import Decision
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Capacity, ColdStart, Observation, Replica, State

NOON_S = 1_798_801_200.0
"""2027-01-01, 11:00 UTC."""

NOT_YET = Unknown("it did not answer yet")
NO_ANSWER = Unknown("http://10.0.0.9:8000/metrics: no answer within 5 s")
PROMPT_TOKENS, OUTPUT_TOKENS = 1000.0, 200.0
STEP_S, PROMPT_S, OUTPUT_S = 0.025, 3e-4, 7e-4
REQUEST_LOAD = PROMPT_TOKENS * PROMPT_S + OUTPUT_TOKENS * OUTPUT_S
"""Share of a replica's time that one request per second takes: 0.44."""


@dataclass
class Pod:
    """``state`` and ``since_s`` as an observation has them; the rest is the engine."""

    name: str
    created_s: float
    state: State = State.PENDING
    since_s: float = 0.0
    waiting: float = 0.0
    running: float = 0.0
    steps: float = 0.0
    served: float = 0.0
    kv_capacity_tokens: float = 100_000.0
    sample: EngineSample | Unknown = NOT_YET
    frozen: EngineSample | None = None

    def become(self, state: State, now_s: float) -> None:
        self.state, self.since_s = state, now_s

    def serve(self, rate: float, duration_s: float) -> None:
        """Requests come at ``rate`` per second."""
        backlog = self.waiting + rate * duration_s
        served = min(backlog, 0.95 / REQUEST_LOAD * duration_s)
        self.waiting = backlog - served
        load = served / duration_s * REQUEST_LOAD
        step_s = STEP_S / (1 - load)
        self.running = served / duration_s * OUTPUT_TOKENS * step_s
        self.steps += duration_s / step_s if served else 0.0
        self.served += served

    def freeze(self) -> None:
        """All clients hang up, and the gauges keep their values."""
        assert isinstance(self.sample, EngineSample)
        self.frozen, self.waiting, self.running = self.sample, 0.0, 0.0

    def measured(self, now_s: float) -> EngineSample:
        if self.frozen:
            return replace(self.frozen, time_s=now_s)
        return EngineSample(
            time_s=now_s,
            waiting=self.waiting,
            running=self.running,
            kv_usage=min(self.running * (PROMPT_TOKENS + OUTPUT_TOKENS / 2) / self.kv_capacity_tokens, 1.0),
            kv_capacity_tokens=self.kv_capacity_tokens,
            prompt_tokens_total=self.served * PROMPT_TOKENS,
            generation_tokens_total=self.served * OUTPUT_TOKENS,
            finished_total=self.served,
            first_tokens_total=self.served,
            iterations_total=self.steps,
        )


@dataclass
class ScaledService:
    """``tick`` lets time pass, decides, and does what was decided. ``devices`` is how many replicas fit."""

    scaling: Scaling
    replicas: int = 1
    cold_start_s: float = 150.0
    interval_s: float = 15.0
    devices: int = 1000
    now_s: float = NOON_S
    kv_capacity_tokens: float = 100_000.0
    memory: Memory = field(default_factory=Memory)
    woken_s: float | None = None
    capacity: Capacity | None = None
    starts: bool = True
    pods: list[Pod] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.current = self.replicas
        for _ in range(self.replicas):
            self._create().become(State.SERVING, self.now_s - 3600)

    def tick(self, rate: float = 0.0, unknown: Iterable[str] | None = (), **sample: object) -> Decision:
        """One interval with ``rate`` requests per second over all replicas, then a decision. Of the pods in
        ``unknown``, all for None, there is no sample; fields of the samples can be given other values.
        """
        self.now_s += self.interval_s
        serving = self.of(State.SERVING)
        for pod in serving:
            pod.serve(rate / len(serving), self.interval_s)
            silent = unknown is None or pod.name in unknown
            pod.sample = NO_ANSWER if silent else replace(pod.measured(self.now_s), **sample)  # type: ignore[arg-type]
        decision, self.memory = decide(self.scaling, self.memory, self.observation())
        self.decisions.append(decision)
        self.resize(decision.desired, decision.idlest)
        self.advance()
        return decision

    def ticks(self, number: int, rate: float = 0.0, unknown: Iterable[str] | None = ()) -> list[Decision]:
        return [self.tick(rate, unknown) for _ in range(number)]

    def observation(self) -> Observation:
        return Observation(
            now_s=self.now_s,
            current=self.current,
            replicas=tuple(Replica(pod.name, pod.state, pod.since_s, pod.sample) for pod in self.pods),
            cold_start=ColdStart(self.cold_start_s, self.cold_start_s * 1.2),
            capacity=self.capacity,
            woken_s=self.woken_s,
        )

    def of(self, state: State) -> list[Pod]:
        return [pod for pod in self.pods if pod.state is state]

    def resize(self, replicas: int, idlest: Iterable[str] = ()) -> None:
        """As a Deployment does, whose ReplicaSet deletes in its order."""
        self.current = replicas
        order = [State.PENDING, State.STARTING, State.UNREADY, State.SERVING]
        names = list(idlest)
        staying = [pod for pod in self.pods if pod.state is not State.LEAVING]
        staying.sort(key=lambda pod: (order.index(pod.state), names.index(pod.name) if pod.name in names else 0))
        for pod in staying[: max(len(staying) - replicas, 0)]:
            self.pods.remove(pod)
        while len([pod for pod in self.pods if pod.state is not State.LEAVING]) < replicas:
            self._create().since_s = self.now_s

    def advance(self) -> None:
        """Pods get nodes, and are ready after the cold start."""
        for pod in self.pods:
            on_nodes = len(self.pods) - len(self.of(State.PENDING))
            if pod.state is State.PENDING and on_nodes < self.devices:
                pod.become(State.STARTING, self.now_s)
            if pod.state is State.STARTING and self.starts and self.now_s - pod.created_s >= self.cold_start_s:
                pod.become(State.SERVING, self.now_s)

    def _create(self) -> Pod:
        self._made += 1
        pod = Pod(f"llama-{self._made}", self.now_s, kv_capacity_tokens=self.kv_capacity_tokens)
        self.pods.append(pod)
        return pod
