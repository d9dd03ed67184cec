"""Makes an EngineSample of an engine's metrics, wherever they were read, by the definitions of its signals."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from modelyard.integrations.engines.metrics import Definition, EngineMetrics, Metric
from modelyard.integrations.signals.engine_metrics import DEFAULT_INTERVAL_S, EngineSample, Histogram, Unknown

L = TypeVar("L")

Samples = Mapping[str, Sequence[tuple[L, float]]]
"""Labels and values of the samples, by their name."""


class InvalidValueError(Exception):
    """A metric has a value that cannot be right; the message names the metric."""


class SampleReader(Generic[L]):
    """Reads an engine's samples. ``label`` returns the value of a sample's label by its name."""

    def __init__(self, engine: EngineMetrics, label: Callable[[L, str], str | None]) -> None:
        self._engine = engine
        self._label = label

    def read(
        self,
        samples: Samples[L],
        *,
        time_s: float,
        place: str,
        declares: Callable[[str], bool],
        decoupled: bool | None = False,
        interval_s: float = DEFAULT_INTERVAL_S,
    ) -> EngineSample | Unknown:
        """The sample at ``time_s``; Unknown where not one signal is present.

        ``place`` is where the samples were read, for the causes. ``declares`` is whether a metric exists there, be it
        without samples. ``decoupled`` is whether one of the models is decoupled, None if that is unknown.
        ``interval_s`` is the time between two readings.
        """
        values: dict[str, float | Histogram] = {}
        missing: dict[str, str] = {}
        counts_late = True
        for signal, definitions in self._engine.signals.items():
            try:
                found = self._value(samples, definitions, decoupled)
            except InvalidValueError as error:
                missing[signal] = f"{place} {error}"
                continue
            if found is not None:
                values[signal], definition = found
                counts_late = counts_late and not definition.moves_at_work
            elif self._is_expected(signal, samples):
                missing[signal] = f"{place} {_why_missing(samples, definitions, declares, decoupled)}"
        if values:
            return EngineSample(
                time_s,
                **values,  # type: ignore[arg-type]  # by the engine's table
                missing=missing,
                place=place,
                interval_s=interval_s,
                counts_late=counts_late,
            )
        if samples and missing:
            return Unknown(next(iter(missing.values())))
        first = next(iter(self._engine.signals.values()))[0].sample_names[0]
        return Unknown(f"{place} has none of the engine's metrics, such as {first}. {self._engine.remedy}")

    def _is_expected(self, signal: str, samples: Samples[L]) -> bool:
        """Whether this server should have a signal."""
        signs = self._engine.only_with.get(signal)
        return signs is None or any(samples.get(name) for name in signs)

    def _value(
        self, samples: Samples[L], definitions: Sequence[Definition], decoupled: bool | None
    ) -> tuple[float | Histogram, Definition] | None:
        """By the first definition that the samples fulfil. Raises InvalidValueError where they do with no value."""
        for definition in definitions:
            if not all(samples.get(name) for name in definition.sample_names):
                continue
            if definition.wrong_if_decoupled and decoupled is not False:
                return None
            read = self._histogram if definition.combined == "histogram" else self._number
            value = read(samples, definition)
            if value is not None:
                return value, definition
        return None

    def _number(self, samples: Samples[L], definition: Definition) -> float | None:
        total, number = 0.0, 0
        for metric in definition.metrics:
            values = self._values(samples, metric)
            if not values:
                return None
            total, number = total + math.fsum(values), number + len(values)
        if definition.combined == "mean":
            return min(1.0, total * definition.factor / number)
        return total * definition.factor

    def _values(self, samples: Samples[L], metric: Metric) -> list[float]:
        if not metric.where and not metric.value_labels:
            return [_checked(value, metric.name) for _, value in samples[metric.name]]
        found = []
        for labels, value in samples[metric.name]:
            if any(self._label(labels, name) != wanted for name, wanted in metric.where):
                continue
            numbers = [self._label(labels, name) for name in metric.value_labels]
            if None not in numbers:
                product = math.prod(_number(number or "") for number in numbers)
                found.append(_checked(product if numbers else value, metric.name))
        return found

    def _histogram(self, samples: Samples[L], definition: Definition) -> Histogram | None:
        """Of the bounds that all engines and models have: a sum over some of them would be too small."""
        bucket_name, sum_name, count_name = definition.sample_names
        totals: dict[float, float] = {}
        numbers: dict[float, int] = {}
        for labels, value in samples[bucket_name]:
            bound = _bound(self._label(labels, "le"), bucket_name, definition.factor)
            totals[bound] = totals.get(bound, 0.0) + _checked(value, bucket_name)
            numbers[bound] = numbers.get(bound, 0) + 1
        counts = [_checked(value, count_name) for _, value in samples[count_name]]
        sums = [_checked(value, sum_name) for _, value in samples[sum_name]]
        buckets = {bound: totals[bound] for bound in sorted(totals) if numbers[bound] == len(counts)}
        return Histogram(buckets, math.fsum(sums) * definition.factor, math.fsum(counts)) if buckets else None


def _why_missing(
    samples: Samples[L], definitions: Sequence[Definition], declares: Callable[[str], bool], decoupled: bool | None
) -> str:
    for definition in definitions:
        names = definition.sample_names
        if definition.wrong_if_decoupled and all(samples.get(name) for name in names):
            which = (
                "is wrong for decoupled models" if decoupled else "may be wrong: the models' configuration is unknown"
            )
            return f"has {names[0]}, which {which}"
        if declares(definition.metrics[0].name):
            return f"has no sample of {definition.metrics[0].name} yet"
    names = tuple(definition.metrics[0].name for definition in definitions)
    return f"has no metric {names[0]}" + "".join(f", nor {name}" for name in names[1:])


@lru_cache(maxsize=1024)
def _bound(text: str | None, name: str, factor: float) -> float:
    """One object for all pods: their samples would have a thousand bytes more."""
    bound = _number(text or "")
    if math.isnan(bound):
        raise InvalidValueError(f"has a bucket of {name} without a bound")
    return bound * factor


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _checked(value: float, name: str) -> float:
    """No signal is ever negative, and none is infinite."""
    if not 0.0 <= value < math.inf:
        raise InvalidValueError(f"has {name} with a value that is no number from 0 on")
    return value
