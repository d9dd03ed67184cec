"""What befalls a fleet, at ``time_s`` after the run's start."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SpotLoss:
    """``replicas`` lose their nodes at once, ``notice_s`` after their notice; 0 for none. Losses come in bulk: 6 to 11
    instances at once were seen (skypilot-org/spot-traces).
    """

    time_s: float
    replicas: int
    notice_s: float = 0.0


@dataclass(frozen=True)
class Crash:
    """The engines of ``replicas`` end and are ready again after ``restart_s``."""

    time_s: float
    replicas: int = 1
    restart_s: float = 60.0


@dataclass(frozen=True)
class CapacityChange:
    """From now on there are devices for ``replicas``."""

    time_s: float
    replicas: int


@dataclass(frozen=True)
class MassAbort:
    """All clients hang up at once. With ``gauges_freeze`` the engines' gauges keep their values until the next request,
    as vLLM's could (vllm-project/vllm#29928).
    """

    time_s: float
    gauges_freeze: bool = True


Fault = SpotLoss | Crash | CapacityChange | MassAbort
