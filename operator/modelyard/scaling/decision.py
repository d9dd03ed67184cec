"""What a decision is: the number of replicas, why, and what the next decision has to remember."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """A change of the number of replicas that was accepted, at ``time_s`` in seconds since the epoch."""

    time_s: float
    before: int
    after: int
    reason: str


@dataclass(frozen=True)
class Input:
    """What a signal showed: ``value`` over all replicas, None if unknown, and how many replicas it asks for."""

    value: float | None
    replicas: int | None


@dataclass(frozen=True)
class Decision:
    """The number of replicas to run. ``wanted`` is what the signals ask for before rates and bounds.

    ``reason`` is a condition's reason, ``message`` the decision in words. ``inputs`` are by signal. ``unknown`` are the
    causes of what could not be read, one line each. ``idlest`` are the names of the pods to stop first, least busy
    first.
    """

    desired: int
    wanted: int
    reason: str
    message: str
    inputs: Mapping[str, Input]
    unknown: tuple[str, ...] = ()
    idlest: tuple[str, ...] = ()
