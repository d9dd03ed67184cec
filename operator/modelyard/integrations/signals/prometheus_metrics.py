"""Reads the engines' metrics from a Prometheus that scrapes the pods, with one query for all of them.

The query is divided by namespaces where the answer would be too large. It selects raw samples of the last two scrape
intervals, which come with the time of their scrape; what ended longer ago is not in the answer at all. Buckets of
histograms are left out: they are two thirds of all series, and no decision needs them.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from modelyard.api.settings import Prometheus
from modelyard.integrations.engines.metrics import EngineMetrics
from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.integrations.signals.engine_pod import EnginePod, Readings
from modelyard.integrations.signals.engine_samples import SampleReader
from modelyard.integrations.signals.model_configuration import ModelConfigurations, looked_up
from modelyard.integrations.signals.pod_http import PodClient
from modelyard.integrations.signals.prometheus import NOT_PROMETHEUS, QueryError, Series, query

FRESH_INTERVALS = 2
"""A sample older than so many scrape intervals is unknown."""

PODS_OF_A_QUERY = 2000
"""Pods of a query, where they are in several namespaces. The answer has 7 KB for each, six times that in memory."""

NAMESPACES_LIMIT = 4000
"""Longest list of namespaces in a query, which is a part of its URL."""

AT_ONCE = 64
"""Pods that are worked on side by side: their models' configurations may have to be looked up."""

Labels = dict[str, str]


@dataclass(frozen=True)
class Scrape:
    """The samples of one scrape of a pod, by their names. ``time_s`` is when it was, in seconds since the epoch."""

    time_s: float
    samples: Mapping[str, list[tuple[Labels, float]]]


class PrometheusMetrics:
    """Reads pods whose metrics Prometheus has, by its labels ``namespace`` and ``pod``.

    ``client`` reads from the pods what no metric has. ``now_s`` is seconds since the epoch.
    """

    def __init__(self, settings: Prometheus, client: PodClient, *, now_s: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._fresh_s = FRESH_INTERVALS * settings.scrape_interval_s
        self._now_s = now_s
        self._configurations = ModelConfigurations(client)
        self._readers: dict[EngineMetrics, SampleReader[Labels]] = {}
        self._latest: dict[str, EngineSample] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prometheus")
        self._query: asyncio.Future[dict[tuple[str, str], Scrape]] | None = None

    async def read(self, pods: Collection[EnginePod]) -> Readings:
        """The latest sample of each pod, or why there is none, in little more than the settings' time limit for
        each query. Other pods are forgotten.
        """
        self._forget(self._latest.keys() - {pod.uid for pod in pods})
        if not pods:
            return {}
        try:
            scrapes = await self._scrapes(pods)
        except QueryError as error:
            failure = Unknown(f"Prometheus at {self._settings.url} {error}")
            return {pod.uid: self._kept(pod) or failure for pod in pods}
        free = asyncio.Semaphore(AT_ONCE)
        found = await asyncio.gather(
            *(self._reading(pod, scrapes.get((pod.namespace, pod.name)), free) for pod in pods)
        )
        return {pod.uid: reading for pod, reading in zip(pods, found, strict=True)}

    async def close(self) -> None:
        """End. A query that is in flight is left to its time limit."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _forget(self, uids: set[str]) -> None:
        self._configurations.forget(uids)
        for uid in uids:
            self._latest.pop(uid, None)

    async def _scrapes(self, pods: Collection[EnginePod]) -> dict[tuple[str, str], Scrape]:
        """The latest scrapes by namespace and name of the pod. Raises QueryError."""
        if self._query is not None and not self._query.done():
            raise QueryError("has not answered the last query yet.")
        queries = _selectors(pods, self._fresh_s)
        self._query = asyncio.get_running_loop().run_in_executor(self._thread, _ask_all, self._settings, queries)
        limit_s = self._settings.timeout_s * len(queries)
        done, _ = await asyncio.wait({self._query}, timeout=limit_s + 1)  # a query's own limit comes first, as a rule
        if not done:
            self._query.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise QueryError(f"gave no answer in {limit_s:g} s.")
        return self._query.result()

    async def _reading(self, pod: EnginePod, scrape: Scrape | None, free: asyncio.Semaphore) -> EngineSample | Unknown:
        place = f"Prometheus at {self._settings.url}, for pod {pod.namespace}/{pod.name},"
        if scrape is None or self._now_s() - scrape.time_s > self._fresh_s:
            missing = (
                f"has no sample of the last {self._fresh_s:g} s. Have it scrape port {pod.metrics.port} of the pod."
            )
            return self._kept(pod) or Unknown(f"{place} {missing}")
        async with free:
            await asyncio.sleep(0)  # thousands of pods in one go would hold up all else
            decoupled = await self._configurations.any_decoupled(pod, _models(scrape, pod.metrics))
        reader = self._readers.get(pod.metrics)
        if reader is None:
            reader = self._readers[pod.metrics] = SampleReader(_without_histograms(pod.metrics), dict.get)
        found = reader.read(
            scrape.samples,
            time_s=scrape.time_s,
            place=place,
            declares=lambda _: False,
            decoupled=decoupled,
            interval_s=self._settings.scrape_interval_s,
        )
        if isinstance(found, EngineSample):
            self._latest[pod.uid] = found
        else:
            self._latest.pop(pod.uid, None)  # it is news, and a query that fails next must not bring back the old
        return found

    def _kept(self, pod: EnginePod) -> EngineSample | None:
        """The last sample as long as it is fresh."""
        last = self._latest.get(pod.uid)
        return last if last is not None and self._now_s() - last.time_s <= self._fresh_s else None


def _ask_all(settings: Prometheus, queries: Iterable[str]) -> dict[tuple[str, str], Scrape]:
    """The first that fails ends it, so one that hangs is waited for once. Blocks. Raises QueryError."""
    found: dict[tuple[str, str], Scrape] = {}
    for promql in queries:
        found |= _scrapes_by_pod(query(settings, promql))
    return found


def _selectors(pods: Collection[EnginePod], window_s: float) -> list[str]:
    names = _one_of({name for metrics in {pod.metrics for pod in pods} for name in _names(metrics)})
    return [
        f"{{__name__=~{names},namespace=~{_one_of(namespaces)}}}[{window_s * 1000:.0f}ms]"
        for namespaces in _divided(Counter(pod.namespace for pod in pods))
    ]


def _divided(pods: Mapping[str, int]) -> list[list[str]]:
    """The namespaces in groups that one query takes, by their numbers of pods."""
    groups: list[list[str]] = []
    number = length = 0
    for namespace, here in sorted(pods.items()):
        number, length = number + here, length + len(namespace) + 1
        if not groups or number > PODS_OF_A_QUERY or length > NAMESPACES_LIMIT:
            groups.append([])
            number, length = here, len(namespace) + 1
        groups[-1].append(namespace)
    return groups


def _without_histograms(metrics: EngineMetrics) -> EngineMetrics:
    signals = {
        signal: definitions
        for signal, definitions in metrics.signals.items()
        if all(definition.combined != "histogram" for definition in definitions)
    }
    return replace(metrics, signals=signals)


def _names(metrics: EngineMetrics) -> Iterable[str]:
    definitions = (each for several in _without_histograms(metrics).signals.values() for each in several)
    of_signals = {name for definition in definitions for name in definition.sample_names}
    return of_signals.union(*metrics.only_with.values())


def _one_of(texts: Iterable[str]) -> str:
    """A regular expression, as a text of PromQL."""
    either = "|".join(re.sub(r"([^A-Za-z0-9_:-])", r"\\\\\1", text) for text in sorted(texts))
    return f'"{either}"'


def _scrapes_by_pod(series: Iterable[Series]) -> dict[tuple[str, str], Scrape]:
    """Where several jobs, or Prometheus replicas, scrape a pod, the scrape that was last. Raises QueryError."""
    found: dict[tuple[str, str], dict[tuple[str, ...], list[tuple[Labels, float, float]]]] = {}
    try:
        for each in series:
            labels = {name: str(value) for name, value in each["metric"].items()}
            measured_s, value = each["values"][-1]
            scraper = tuple(labels.get(name, "") for name in ("job", "instance", "prometheus", "prometheus_replica"))
            of_pod = found.setdefault((labels.get("namespace", ""), labels.get("pod", "")), {})
            of_pod.setdefault(scraper, []).append((labels, float(value), float(measured_s)))
        return {pod: _last(scrapers.values()) for pod, scrapers in found.items()}
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise QueryError(NOT_PROMETHEUS) from error


def _last(scrapers: Iterable[list[tuple[Labels, float, float]]]) -> Scrape:
    """All samples of a scrape have its time, so an older one is of a series that has ended."""
    time_s, last = max(
        ((max(sample[2] for sample in samples), samples) for samples in scrapers), key=lambda one: one[0]
    )
    by_name: dict[str, list[tuple[Labels, float]]] = {}
    for labels, value, measured_s in last:
        if measured_s == time_s:
            by_name.setdefault(labels["__name__"], []).append((labels, value))
    return Scrape(time_s, by_name)


def _models(scrape: Scrape, metrics: EngineMetrics) -> frozenset[str] | None:
    if metrics.decoupled_models is None:
        return frozenset()
    label = metrics.decoupled_models.label
    return looked_up(labels.get(label) for labels, _ in scrape.samples.get(metrics.decoupled_models.metric, ()))
