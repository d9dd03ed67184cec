"""What a decision is made from: one look at a service."""

from dataclasses import dataclass
from enum import Enum

from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown


class State(Enum):
    """What a replica's pod is to the autoscaler."""

    SERVING = "serving"
    """Ready."""
    STARTING = "starting"
    """On its node, not yet ready for the first time, and within its start-up limit."""
    PENDING = "pending"
    """No node has taken it yet."""
    UNREADY = "unready"
    """Was ready and is not, crashed, or is beyond its start-up limit."""
    LEAVING = "leaving"
    """Terminating, or on capacity that goes away: it counts as gone, and still holds its devices."""


@dataclass(frozen=True)
class Replica:
    """One pod. ``since_s`` is when it came to be in its state, in seconds since the epoch. ``sample`` is the latest
    that its engine reported, or why there is none.
    """

    name: str
    state: State
    since_s: float
    sample: EngineSample | Unknown


@dataclass(frozen=True)
class Capacity:
    """What refuses further replicas now: a condition's reason and a message for people. ``achievable`` is how many
    replicas can run, those that run included.
    """

    achievable: int
    reason: str
    message: str


@dataclass(frozen=True)
class ColdStart:
    """How long a replica takes from its creation until it is ready, in seconds: expected, and its 90th percentile."""

    expected_s: float
    high_s: float


@dataclass(frozen=True)
class Observation:
    """One look at a service at ``now_s``, in seconds since the epoch.

    ``current`` is the number of replicas that the service's Deployments are set to. ``cold_start`` is None before a
    replica ever became ready. ``capacity`` is None where nothing refuses further replicas. ``woken_s`` is the last time
    that something asked a service at zero to run, None for never.
    """

    now_s: float
    current: int
    replicas: tuple[Replica, ...]
    cold_start: ColdStart | None = None
    capacity: Capacity | None = None
    woken_s: float | None = None
