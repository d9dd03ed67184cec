"""What should run of a service, as far as its status depends on it."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.api.conditions import Explanation
from modelyard.api.devices import DeviceRequest
from modelyard.api.scaling import ScalingStatus
from modelyard.api.status import Effective, PrefetchStatus
from modelyard.contract.errors import InvalidError


@dataclass(frozen=True)
class PoolTarget:
    """So many pods, made from the template of this hash (names.ANNOTATION_TEMPLATE)."""

    template: str
    replicas: int


@dataclass(frozen=True)
class Target:
    """What a resolved spec comes to. ``pools`` are by name; ``devices`` are what each pod requests. ``refresh_changes``
    is what a refresh would change of the pods, by name; ``refresh_refusal`` what it would end in.
    """

    pools: Mapping[str, PoolTarget]
    devices: DeviceRequest
    effective: Effective
    refresh_changes: tuple[str, ...] = ()
    refresh_refusal: InvalidError | None = None

    @property
    def startup_timeout_s(self) -> int:
        """Longest time from the engine's start to its readiness."""
        return self.effective.startup_timeout_seconds


@dataclass(frozen=True)
class PrefetchReport:
    """Progress of prefetching: its part of the status, a sentence, and in how many seconds to look again."""

    status: PrefetchStatus
    why: Explanation
    look_again_s: float | None


@dataclass(frozen=True)
class ScalingReport:
    """The last decision of automatic scaling: its part of the status, and the ``maximum`` that it had. ``unknown`` are
    the causes for what could not be read; with ``is_blind`` that is all that it needs.
    """

    status: ScalingStatus
    maximum: int
    unknown: tuple[str, ...] = ()
    is_blind: bool = False
