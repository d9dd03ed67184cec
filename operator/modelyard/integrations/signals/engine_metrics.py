"""What an engine reports about its load, in the same terms for every engine and version."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Histogram:
    """A cumulative histogram in seconds: the number of values at or below each upper bound, their sum and number."""

    buckets: Mapping[float, float]
    sum: float
    count: float


@dataclass(frozen=True)
class EngineSample:
    """One engine's metrics at one moment, over all models that it serves. None is unknown, which is never zero.

    ``time_s`` is when they were measured, in seconds since the epoch. What ends in ``_total`` counts since the engine
    started, so a smaller value than before means that it restarted. ``waiting`` and ``running`` are requests,
    ``kv_usage`` is a share from 0 to 1, ``kv_capacity_tokens`` how many tokens fit. ``first_tokens_total`` counts the
    requests that got their first token, ``iterations_total`` the steps of the engine. ``queue_s_total`` and
    ``compute_s_total`` are seconds over all requests. ``missing`` is why a field is None, for people, by the field's
    name: with the pod, the URL and the metric's name. What the engine never reports has no entry.
    """

    time_s: float
    waiting: float | None = None
    running: float | None = None
    kv_usage: float | None = None
    kv_capacity_tokens: float | None = None
    running_limit: float | None = None
    preemptions_total: float | None = None
    prompt_tokens_total: float | None = None
    cached_prompt_tokens_total: float | None = None
    generation_tokens_total: float | None = None
    finished_total: float | None = None
    first_tokens_total: float | None = None
    iterations_total: float | None = None
    queue_s_total: float | None = None
    compute_s_total: float | None = None
    time_to_first_token_s: Histogram | None = None
    time_per_output_token_s: Histogram | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unknown:
    """Why there is no sample, for people: the URL or query, and the metric's name where one is missing."""

    cause: str
