"""Reads every source of metrics beside the others: one that is slow, or fails, takes none of the others' pods along."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from modelyard.controller.autoscaler.observation import Samples
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_pod import EnginePod, Readings, Signals

READ_LIMIT_S = 10.0
"""How long a round waits for a source: 2 s and 1.5 ms for each pod take thousands of pods, 6 s a Prometheus with the
default time limit, and the next round is due after 15 s by default."""

logger = logging.getLogger(__name__)


@dataclass
class _Source:
    """``task`` is the reading in flight, ``last`` what the one before it found."""

    signals: Signals
    task: asyncio.Task[Readings] | None = None
    last: Readings = field(default_factory=dict)


class Sources:
    """The sources by their names. An answer that comes after the round's time is the next round's."""

    def __init__(self, signals: Mapping[str, Signals]) -> None:
        self._sources = {name: _Source(each) for name, each in signals.items()}

    @property
    def names(self) -> Collection[str]:
        """The names of the sources."""
        return self._sources.keys()

    async def read(self, pods: Mapping[str, Collection[EnginePod]], limit_s: float = READ_LIMIT_S) -> Samples:
        """The latest sample of each pod, by the source that it is to be read from, or why there is none."""
        tasks = []
        for name, source in self._sources.items():
            if source.task is not None and source.task.done():
                source.last = _result(name, source.task, pods[name])
                source.task = None
            if source.task is None:
                source.task = asyncio.create_task(source.signals.read(pods[name]))
            tasks.append(source.task)
        if tasks:
            await asyncio.wait(tasks, timeout=limit_s)
        found: dict[str, EngineSample | Unknown] = {}
        for name, source in self._sources.items():
            assert source.task is not None
            if source.task.done():
                source.last = _result(name, source.task, pods[name])
                source.task = None
                found |= source.last
            else:
                late = Unknown(f"source {name} has not answered within {limit_s:g} s")
                found |= {pod.uid: source.last.get(pod.uid, late) for pod in pods[name]}
        return found


def _result(name: str, task: asyncio.Task[Readings], pods: Collection[EnginePod]) -> Readings:
    """What was found; of a source that failed, why, for each pod: a defect of ours must not end the round."""
    try:
        return task.result()
    except Exception as error:
        logger.exception("a source of metrics could not be read")
        cause = Unknown(f"source {name} could not be read: {type(error).__name__}")
        return {pod.uid: cause for pod in pods}
