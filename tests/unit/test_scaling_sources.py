"""Each source of metrics by itself: one that hangs or fails leaves the pods of the others known."""

import asyncio
from collections.abc import Collection

from modelyard.controller.autoscaler.reading import Sources
from modelyard.integrations.engines import vllm
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_pod import EnginePod, Readings

CHAT = EnginePod("team", "chat-1", "1", "10.0.0.1", vllm.METRICS)
OTHER = EnginePod("team", "other-1", "2", "10.0.0.2", vllm.METRICS)
PODS = {"Pods": [CHAT], "Prometheus": [OTHER]}


class Source:
    """Answers at once, once ``go_on`` is set; ``fault`` is raised in place of an answer."""

    def __init__(self, fault: Exception | None = None, *, hangs: bool = False) -> None:
        self.fault, self.reads = fault, 0
        self.go_on = asyncio.Event()
        if not hangs:
            self.go_on.set()

    async def read(self, pods: Collection[EnginePod]) -> Readings:
        self.reads += 1
        number = self.reads
        await self.go_on.wait()
        if self.fault:
            raise self.fault
        return {pod.uid: EngineSample(float(number)) for pod in pods}


async def test_a_source_that_fails_is_unknown_and_the_other_is_read() -> None:
    found = await Sources({"Pods": Source(), "Prometheus": Source(RecursionError())}).read(PODS)
    assert found["1"] == EngineSample(1.0)
    assert found["2"] == Unknown("source Prometheus could not be read: RecursionError")


async def test_a_source_that_hangs_is_unknown_and_the_other_is_read() -> None:
    slow = Source(hangs=True)
    sources = Sources({"Pods": Source(), "Prometheus": slow})
    found = await sources.read(PODS, limit_s=0.01)
    assert found["1"] == EngineSample(1.0)
    assert found["2"] == Unknown("source Prometheus has not answered within 0.01 s")
    await sources.read(PODS, limit_s=0.01)
    assert slow.reads == 1, "no second reading joins one that hangs"
    slow.go_on.set()
    assert (await sources.read(PODS))["2"] == EngineSample(1.0)


async def test_an_answer_that_came_late_is_the_next_rounds() -> None:
    slow = Source(hangs=True)
    sources = Sources({"Pods": Source(), "Prometheus": slow})
    await sources.read(PODS, limit_s=0.01)
    slow.go_on.set()
    await asyncio.wait([each.task for each in sources._sources.values() if each.task])
    slow.go_on.clear()
    assert (await sources.read(PODS, limit_s=0.01))["2"] == EngineSample(1.0)
    assert slow.reads == 2
    slow.go_on.set()
    assert (await sources.read(PODS))["2"] == EngineSample(2.0)
