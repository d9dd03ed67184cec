"""The services whose tick is measured: a tick reads all their pods and decides on each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from modelyard.api.scaling import Scaling
from modelyard.integrations.engines import vllm
from modelyard.integrations.signals.engine_metrics import Unknown
from modelyard.integrations.signals.engine_pod import EnginePod, Readings, Signals
from modelyard.scaling.decide import decide
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import ColdStart, Observation, Replica, State

SCALING = Scaling(minReplicas=1, maxReplicas=8)


@dataclass
class Service:
    """A service, its pods, and what its decisions remember."""

    pods: tuple[EnginePod, ...]
    memory: Memory = field(default_factory=Memory)


def fleet(services: int, pods_of_each: int, port: int) -> list[Service]:
    """Services whose pods are at the addresses of the loopback network from 127.1.0.1 on."""
    metrics = replace(vllm.METRICS, port=port)

    def pod(service: int, number: int) -> EnginePod:
        at = 2**24 + 1 + service * pods_of_each + number
        ip = f"127.{at >> 16 & 255}.{at >> 8 & 255}.{at & 255}"
        return EnginePod(f"team-{service % 50}", f"chat-{service}-{number}", f"uid-{service}-{number}", ip, metrics)

    return [Service(tuple(pod(service, number) for number in range(pods_of_each))) for service in range(services)]


async def tick(services: Sequence[Service], signals: Signals) -> int:
    """Read all pods and decide on all services; how many pods could not be read."""
    readings = await signals.read([pod for service in services for pod in service.pods])
    now_s = time.time()
    for service in services:
        decision, service.memory = decide(SCALING, service.memory, _observation(service, readings, now_s))
        assert decision.desired >= 1
    return sum(isinstance(reading, Unknown) for reading in readings.values())


def _observation(service: Service, readings: Readings, now_s: float) -> Observation:
    replicas = tuple(Replica(pod.name, State.SERVING, now_s - 3600, readings[pod.uid]) for pod in service.pods)
    return Observation(now_s, current=len(replicas), replicas=replicas, cold_start=ColdStart(60, 90))
