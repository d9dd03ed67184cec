"""Reads the engines' metrics from the pods themselves, all side by side.

A round ends after ROUND_S, or with thousands of pods when those are read that answered last time. An answer that comes
later is the next round's: under load an engine takes up to 3 s for its page (measured on vLLM 0.32). A pod that did not
answer last time waits for one of the few connections that are set aside for such pods, so however many are silent, they
hold up none that answer.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from modelyard.integrations.engines.metrics import EngineMetrics
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_page import EnginePage
from modelyard.integrations.signals.engine_pod import EnginePod, Readings
from modelyard.integrations.signals.metrics_page import PAGE_LIMIT_BYTES
from modelyard.integrations.signals.model_configuration import ModelConfigurations
from modelyard.integrations.signals.pod_http import CONNECTIONS_LIMIT, PodClient, PodError

ROUND_S = 2.0
"""Longest time for one round; it is POD_S longer for each pod while one is unread that answered last time."""

POD_S = 0.0015
"""A page takes a processor less than that (make bench-tick), where it has nothing else to do."""

REQUEST_S = 6.0
"""Longest time for one page: twice what an engine took under load."""

DOUBTFUL_LIMIT = CONNECTIONS_LIMIT // 8
"""Requests in flight at once to pods that did not answer last time, or were never read."""

ANSWERING_LIMIT = 5 * CONNECTIONS_LIMIT // 8
"""Requests in flight at once to the others. Both together hold 120 MiB at most. What is left is for the rest of the
operator.
"""

KEPT_LIMIT = 256
"""Up to so many pods their connections are kept: each takes one of the files that a process may have open. With more,
each page takes a connection of its own. (vLLM ends a connection that was idle for 5 s anyway.)"""

FRESH_INTERVALS = 2
"""A sample older than so many intervals is unknown."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Reading:
    """What is known of one pod."""

    pod: EnginePod
    place: str
    request: asyncio.Task[None] | None = None
    sample: EngineSample | None = None
    failure: str = ""
    answered: bool = False


class PodMetrics:
    """Reads pods that are to be read every ``interval_s`` seconds. ``now_s`` is seconds since the epoch."""

    def __init__(self, client: PodClient, *, interval_s: float, now_s: Callable[[], float] = time.time) -> None:
        self._client = client
        self._interval_s = interval_s
        self._now_s = now_s
        self._readings: dict[str, _Reading] = {}
        self._configurations = ModelConfigurations(client)
        self._pages: dict[EngineMetrics, EnginePage] = {}
        self._doubtful = asyncio.Semaphore(DOUBTFUL_LIMIT)
        self._answering = asyncio.Semaphore(ANSWERING_LIMIT)

    async def read(self, pods: Collection[EnginePod]) -> Readings:
        """The latest sample of each pod, or why there is none. Other pods are forgotten."""
        self._forget(self._readings.keys() - {pod.uid for pod in pods})
        keeps_connections = len(pods) <= KEPT_LIMIT
        failed = {pod.uid for pod in pods if pod.uid in self._readings and not self._readings[pod.uid].answered}
        requests = {pod.uid: self._request(pod, keeps_connections) for pod in pods}
        if requests:
            await asyncio.wait(requests.values(), timeout=ROUND_S)
        late = {request for uid, request in requests.items() if uid not in failed and not request.done()}
        if late:
            await asyncio.wait(late, timeout=POD_S * len(pods))
        return {pod.uid: self._latest(self._readings[pod.uid]) for pod in pods}

    async def close(self) -> None:
        """End all requests."""
        self._forget(set(self._readings))

    def _forget(self, uids: set[str]) -> None:
        for uid in uids:
            request = self._readings.pop(uid).request
            if request is not None:
                request.cancel()
        self._configurations.forget(uids)

    def _request(self, pod: EnginePod, keeps_connection: bool) -> asyncio.Task[None]:
        """The pod's request that is in flight, else a new one."""
        reading = self._readings.get(pod.uid)
        if reading is None or reading.pod != pod:  # a pod whose node was restarted has another address
            self._forget({pod.uid} & self._readings.keys())
            reading = self._readings[pod.uid] = _Reading(pod, _place(pod))
        if reading.request is None or reading.request.done():
            reading.request = asyncio.create_task(self._scrape(reading, keeps_connection))
            reading.request.add_done_callback(_report_fault)
        return reading.request

    async def _scrape(self, reading: _Reading, keeps_connection: bool) -> None:
        async with self._answering if reading.answered else self._doubtful:
            reading.answered = False
            try:
                page = await self._client.fetch(
                    reading.pod.ip,
                    reading.pod.metrics.port,
                    reading.pod.metrics.path,
                    size_limit_bytes=PAGE_LIMIT_BYTES,
                    time_limit_s=REQUEST_S,
                    keeps_connection=keeps_connection,
                )
            except PodError as error:
                reading.failure = f"{reading.place} {error}"
                return
            arrived_s = self._now_s()
            reading.answered = True
            found = await self._parsed(reading, page, arrived_s)
        reading.sample = found if isinstance(found, EngineSample) else None
        reading.failure = found.cause if isinstance(found, Unknown) else ""

    async def _parsed(self, reading: _Reading, page: bytes, arrived_s: float) -> EngineSample | Unknown:
        metrics = reading.pod.metrics
        parser = self._pages.get(metrics)
        if parser is None:
            parser = self._pages[metrics] = EnginePage(metrics)
        decoupled = await self._configurations.any_decoupled(reading.pod, parser.models(page))
        return parser.parse(
            page, time_s=arrived_s, place=reading.place, decoupled=decoupled, interval_s=self._interval_s
        )

    def _latest(self, reading: _Reading) -> EngineSample | Unknown:
        sample, now_s = reading.sample, self._now_s()
        if sample is not None and now_s - sample.time_s <= FRESH_INTERVALS * self._interval_s:
            return sample
        failure = reading.failure or f"{reading.place} has not answered yet"
        return Unknown(failure if sample is None else f"{failure}; it last did {now_s - sample.time_s:.0f} s ago")


def _place(pod: EnginePod) -> str:
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    return f"http://{host}:{pod.metrics.port}{pod.metrics.path} of pod {pod.namespace}/{pod.name}"


def _report_fault(request: asyncio.Task[None]) -> None:
    if not request.cancelled() and (fault := request.exception()):
        logger.error("metrics of a pod could not be read", exc_info=fault)
