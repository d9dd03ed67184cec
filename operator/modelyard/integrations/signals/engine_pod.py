"""The pods whose engines are read, and what reads them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from modelyard.integrations.engines.metrics import EngineMetrics
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown

Readings = Mapping[str, EngineSample | Unknown]
"""By the pod's uid."""


@dataclass(frozen=True)
class EnginePod:
    """A pod that is on its node and has an address, and the metrics of the engine in it."""

    namespace: str
    name: str
    uid: str
    ip: str
    metrics: EngineMetrics


class Signals(Protocol):
    """Where the engines' metrics come from."""

    async def read(self, pods: Collection[EnginePod]) -> Readings:
        """The latest sample of each pod, or why there is none. Returns in seconds, whatever the pods do."""
