"""Traffic as Prometheus recorded it: vLLM's counters of a service's pods, as requests of the same rate and length.

The times of single requests are not in the counters: within a step they are a Poisson process. What arrived is what got
its first token and what came to wait.
"""

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from modelyard.integrations.engines.vllm import SIGNALS
from modelyard.scaling.simulator.clients import Arrival
from modelyard.scaling.simulator.traffic import arrivals, draw_lengths
from modelyard.simulate.invalid import InvalidInputError

_FIELDS = ("waiting", "first_tokens_total", "prompt_tokens_total", "generation_tokens_total")
_NAMES = {field: SIGNALS[field][0].metrics[0].name for field in _FIELDS}
_LENGTHS_OVER_S = 600.0
"""Tokens per request are means over this time: the tokens of one request come over several steps."""


def promql(namespace: str, service: str, since: str, step: str) -> str:
    """The query of what is read here, over ``since`` before now, such as 24h, each ``step``, such as 1m."""
    names = "|".join(sorted(_NAMES.values()))
    pods = f"{re.escape(service)}-[a-z0-9]+-[a-z0-9]+".replace("\\", "\\\\")
    return f'{{__name__=~"{names}", namespace="{namespace}", pod=~"{pods}"}}[{since}:{step}]'


def series_of(text: str) -> list[Mapping[str, Any]]:
    """The series in an answer of Prometheus's API to query or query_range. Raises InvalidInputError."""
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"the history is no JSON: {error}") from None
    data = answer.get("data") if isinstance(answer, Mapping) else None
    result = data.get("result") if isinstance(data, Mapping) else answer
    if not isinstance(result, list):
        raise InvalidInputError("the history is no answer of Prometheus: data.result must be a list of series")
    return result


def traffic(series: Iterable[Mapping[str, Any]], seed: int) -> tuple[list[Arrival], float]:
    """Requests that arrived at these rates with these lengths, and the time in seconds since the epoch at which they
    began. Raises InvalidInputError.
    """
    steps = _steps(series)
    times_s = sorted(steps["first_tokens_total"])
    if len(times_s) < 2:
        raise InvalidInputError(
            f"the history has no two samples of {_NAMES['first_tokens_total']}: check the namespace, the name of the "
            "service, and that Prometheus scrapes its pods with the labels namespace and pod"
        )
    start_s = times_s[0]
    rates = [(low - start_s, _arrived(steps, high) / (high - low)) for low, high in pairwise(times_s)]
    lengths = _Lengths(steps, times_s)
    found = arrivals([*rates, (times_s[-1] - start_s, 0.0)], lengths.draw, seed)
    if not found:
        raise InvalidInputError("the history has no requests")
    return found, start_s


Steps = dict[str, dict[float, float]]
"""What each signal grew by over all pods, by the time at which that was seen."""


def _steps(series: Iterable[Mapping[str, Any]]) -> Steps:
    names = {name: field for field, name in _NAMES.items()}
    steps: Steps = {field: {} for field in _FIELDS}
    try:
        for one in series:
            field = names.get(one["metric"].get("__name__"))
            if field is None:
                continue
            values = [(float(time_s), float(value)) for time_s, value in one["values"]]
            grown = steps[field]
            for time_s, _ in values[:1]:
                grown.setdefault(time_s, 0.0)
            for (_, before), (time_s, after) in pairwise(values):
                grown[time_s] = grown.get(time_s, 0.0) + _growth(field, before, after)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(
            f"the history is no matrix of Prometheus, series with metric and values: {error!r}"
        ) from None
    return steps


def _growth(field: str, before: float, after: float) -> float:
    """A counter that fell began anew with its engine; a gauge may fall."""
    return after - before if field == "waiting" or after >= before else after


def _arrived(steps: Steps, time_s: float) -> float:
    return max(steps["first_tokens_total"][time_s] + steps["waiting"].get(time_s, 0.0), 0.0)


class _Lengths:
    """Means over the time before and after, drawn as in traffic.py."""

    def __init__(self, steps: Steps, times_s: Sequence[float]) -> None:
        self._start_s = times_s[0]
        self._requests = _by_slot(steps["first_tokens_total"], self._start_s)
        self._inputs = _by_slot(steps["prompt_tokens_total"], self._start_s)
        self._outputs = _by_slot(steps["generation_tokens_total"], self._start_s)

    def draw(self, chance: random.Random, time_s: float) -> tuple[int, int]:
        slot = int(time_s // _LENGTHS_OVER_S)
        requests = max(self._requests.get(slot, 0.0), 1.0)
        return draw_lengths(chance, self._inputs.get(slot, 0.0) / requests, self._outputs.get(slot, 0.0) / requests)


def _by_slot(grown: Mapping[float, float], start_s: float) -> dict[int, float]:
    found: dict[int, float] = {}
    for time_s, growth in grown.items():
        slot = int(max(time_s - start_s - 1e-6, 0.0) // _LENGTHS_OVER_S)
        found[slot] = found.get(slot, 0.0) + growth
    return found
