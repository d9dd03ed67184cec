"""What an engine reports about its load, in the same terms for every engine and version."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_INTERVAL_S = 15.0
"""Seconds between two samples: the default of scaling_interval_s in the settings."""


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

    ``place`` is where it was read, for people: the URL or query, and the pod. ``interval_s`` is the time until the next
    sample is due, in seconds. ``counts_late``: no counter moves before a request has ended, or once it was accepted,
    so they may all stand still while the engine works.
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
    place: str = ""
    interval_s: float = DEFAULT_INTERVAL_S
    counts_late: bool = False


@dataclass(frozen=True)
class Unknown:
    """Why there is no sample, for people: the URL or query, and the metric's name where one is missing."""

    cause: str
