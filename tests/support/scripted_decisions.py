"""Decisions that a test makes, in the place of those that follow demand."""

from dataclasses import replace

from modelyard.api.scaling import Scaling
from modelyard.scaling.decision import Change, Decision, Input
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import Observation


class ScriptedDecisions:
    """Decides on ``desired`` replicas, on what runs while that is None. ``seen`` are the observations so far."""

    def __init__(self, desired: int | None = None) -> None:
        self.desired = desired
        self.wanted: int | None = None
        self.reason = "DemandRose"
        self.unknown: tuple[str, ...] = ()
        self.idlest: tuple[str, ...] = ()
        self.demand: float | None = 2.5
        self.bounds: tuple[int, int] | None = None
        self.seen: list[Observation] = []

    def __call__(self, scaling: Scaling, memory: Memory, observation: Observation) -> tuple[Decision, Memory]:
        self.bounds = (scaling.min_replicas, scaling.max_replicas)
        self.seen.append(observation)
        memory = memory.seen(observation)
        desired = observation.current if self.desired is None else self.desired
        if desired != observation.current:
            change = Change(observation.now_s, observation.current, desired, self.reason)
            memory = replace(memory, proposed=change)
        decision = Decision(
            desired=desired,
            wanted=desired if self.wanted is None else self.wanted,
            reason=self.reason,
            message=f"The demand needs {desired}.",
            inputs={"demand": Input(self.demand, desired)},
            unknown=self.unknown,
            idlest=self.idlest,
        )
        return decision, memory
