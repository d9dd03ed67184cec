"""A replica's pod in the simulated fleet."""

from math import inf

from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.scaling.observation import Replica, State
from modelyard.scaling.simulator.engine import Engine

NOT_STARTED = Unknown("the engine does not answer yet")


class Pod:
    """``engine`` is None until it is ready. ``sample`` is the latest that was scraped, or why there is none.
    ``wakes_s`` is when the fleet looks at the engine next.
    """

    __slots__ = ("created_s", "engine", "name", "sample", "since_s", "state", "wakes_s")

    def __init__(self, name: str, now_s: float) -> None:
        self.name = name
        self.created_s = now_s
        self.state = State.PENDING
        self.since_s = now_s
        self.engine: Engine | None = None
        self.sample: EngineSample | Unknown = NOT_STARTED
        self.wakes_s = inf

    @property
    def serves(self) -> bool:
        return self.state is State.SERVING

    @property
    def holds_devices(self) -> bool:
        return self.state is not State.PENDING

    def become(self, state: State, now_s: float) -> None:
        self.state = state
        self.since_s = now_s

    def seen(self) -> Replica:
        """What the autoscaler sees of it."""
        return Replica(self.name, self.state, self.since_s, self.sample)
