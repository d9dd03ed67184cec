"""What a replica did between two samples of its counters, and whether its gauges can be believed."""

from dataclasses import dataclass, replace
from math import inf
from typing import Any

from modelyard.integrations.signals.engine_metrics import EngineSample, Unknown
from modelyard.scaling.observation import Replica, State
from modelyard.scaling.plausible import plausible

SUSPECT_AFTER_S = 30.0
"""vLLM's gauges can keep their values after all clients hung up (vllm-project/vllm#29928): with work in hand, counters
move within this time.
"""

FRESH_S = 90.0
"""An engine that became ready no longer ago than this counted from zero at that time."""

SET_BACK_S = 5.0
"""A sample that is older than the last one by more than this comes after a change of the clock."""

MOST_TOKENS = 1e7
"""Per second: no engine computes as many. A counter that jumps by more is no measure of work."""

BUSY_RUNNING = 2.0
"""With as many requests at both ends of an interval, an engine hardly paused in between."""


@dataclass(frozen=True)
class Flow:
    """What a replica did between two samples, per second; ``duration_s`` apart.

    ``prompt`` are prompt tokens that it computed, ``output`` tokens that it generated; for an engine that counts no
    tokens, ``prompt`` are requests. ``steps`` are iterations, None where they are not counted. ``first`` and
    ``finished`` are requests. ``waiting``, ``running`` and ``kv_usage`` are means of the interval's ends, the growths
    are per second. ``busy``: it did not pause. ``tokens``: they are counted.
    """

    duration_s: float
    prompt: float
    output: float
    steps: float | None
    first: float
    finished: float
    waiting: float
    running: float
    kv_usage: float | None
    waiting_growth: float
    running_growth: float
    busy: bool
    tokens: bool
    preemptions: float = 0.0


@dataclass(frozen=True)
class Meter:
    """The latest sample of a replica and the one before. ``moved_s`` is when its counters last moved, ``held_s`` when
    its gauges last changed while they showed work.
    """

    sample: EngineSample
    moved_s: float
    held_s: float = -inf
    before: EngineSample | None = None
    flow: Flow | None = None

    @property
    def suspect(self) -> bool:
        """Gauges above zero though no counter moved: the gauges are stale, there is no load."""
        flat_s = self.sample.time_s - max(self.moved_s, self.held_s)
        return flat_s >= SUSPECT_AFTER_S and moves_at_work(self.sample) and self._in_hand

    @property
    def _in_hand(self) -> bool:
        return any(value is not None and value > 0 for value in _gauges(self.sample))

    @property
    def shows_idleness(self) -> bool:
        """Whether an idle engine can be told from one that works: by counters that move at work, or by gauges of all
        that it has in hand.
        """
        sample = self.sample
        return moves_at_work(sample) or (sample.waiting is not None and "running" not in sample.missing)

    def lacks(self, signal: str) -> str | None:
        """Why it hides a load that the signal would show: its engine has that metric, and the page lacks it. None where
        nothing is hidden, as before an engine's first step, when several API servers have no gauges yet.
        """
        causes = (self.sample.missing.get(name) for name in FIELDS[signal])
        cause = next((cause for cause in causes if cause), None)
        return None if cause is None or self._never_worked else cause

    @property
    def _never_worked(self) -> bool:
        sample = self.sample
        return moves_at_work(sample) and not any((sample.generation_tokens_total, sample.iterations_total))

    @property
    def uncounted(self) -> bool:
        """Whether two samples show no demand: its counters are not there."""
        return self.before is not None and self.flow is None

    @property
    def active_s(self) -> float:
        """The last time that it showed work, by counters that moved or gauges that can be believed."""
        return self.sample.time_s if self._in_hand and not self.suspect else max(self.moved_s, self.held_s)

    @property
    def waiting(self) -> float | None:
        return 0.0 if self.suspect else self.sample.waiting

    @property
    def running(self) -> float | None:
        return 0.0 if self.suspect else self.sample.running

    @property
    def kv_usage(self) -> float | None:
        return 0.0 if self.suspect else self.sample.kv_usage


def _gauges(sample: EngineSample) -> tuple[float | None, ...]:
    return (sample.waiting, sample.running, sample.kv_usage)


def moves_at_work(sample: EngineSample) -> bool:
    """Whether the engine has counters that move while it works on a request."""
    counted = sample.generation_tokens_total is not None or sample.iterations_total is not None
    return counted and not sample.counts_late


def increase(before: float | None, after: float | None) -> float | None:
    """By how much a counter rose; one that restarted rose from zero. None if either is unknown."""
    if before is None or after is None:
        return None
    return after - before if after >= before else after


TOKEN_COUNTERS = ("generation_tokens_total", "prompt_tokens_total")

FIELDS = {
    "queueDepth": ("waiting",),
    "kvCacheUsage": ("kv_usage",),
    "runningRequests": ("running",),
    "demand": (*TOKEN_COUNTERS, "finished_total"),
}
"""The fields of a sample that a signal is made of."""

_COUNTERS = (
    "prompt_tokens_total",
    "generation_tokens_total",
    "finished_total",
    "first_tokens_total",
    "iterations_total",
    "compute_s_total",
)

_FROM_ZERO = (*_COUNTERS, "cached_prompt_tokens_total", "preemptions_total", "waiting", "running", "kv_usage")


def read(meter: Meter | None, replica: Replica) -> Meter | None:
    """The meter with the replica's sample; the old one while there is no newer sample, None while there was none.

    After the clock was set back, it starts anew.
    """
    sample = replica.sample
    if isinstance(sample, Unknown):
        return meter
    sample = plausible(sample)
    if meter is not None and sample.time_s < meter.sample.time_s - SET_BACK_S:
        meter = None
    if meter is not None and sample.time_s <= meter.sample.time_s:
        return meter
    before = meter.sample if meter is not None else _at_birth(replica, sample)
    if before is None:
        return Meter(sample, moved_s=sample.time_s)
    moved = any(increase(getattr(before, name), getattr(sample, name)) for name in _COUNTERS)
    moved_s = sample.time_s if moved else meter.moved_s if meter is not None else before.time_s
    held_s = meter.held_s if meter is not None else -inf
    if _gauges(sample) != _gauges(before) and any(_gauges(sample)):
        held_s = sample.time_s
    return Meter(sample, moved_s, held_s, before, _flow(before, sample))


def _at_birth(replica: Replica, sample: EngineSample) -> EngineSample | None:
    """What the counters were when the replica became ready, if that was a moment ago."""
    age_s = sample.time_s - replica.since_s
    if replica.state is not State.SERVING or not 1.0 <= age_s <= FRESH_S:
        return None
    zeros: dict[str, Any] = {name: 0.0 for name in _FROM_ZERO if getattr(sample, name) is not None}
    zeros |= {"time_to_first_token_s": None, "time_per_output_token_s": None}
    return replace(sample, time_s=replica.since_s, **zeros)


def _flow(before: EngineSample, after: EngineSample) -> Flow | None:
    """None where neither tokens nor requests are counted, or counters of tokens that the engine has are not there:
    requests in their place would be a demand in another unit. None, too, where what is counted is not what was done:
    totals are over all models of an engine, so if some fell and others did not, a model was unloaded.
    """
    if any(name in after.missing for name in TOKEN_COUNTERS):
        return None
    duration_s = after.time_s - before.time_s
    falls = [getattr(after, name) < getattr(before, name) for name in _COUNTERS if _is_counted(name, before, after)]
    if any(falls) and not all(falls):
        return None

    def rate(name: str) -> float | None:
        rise = increase(getattr(before, name), getattr(after, name))
        return None if rise is None else rise / duration_s

    finished, prompt, output = rate("finished_total"), rate("prompt_tokens_total"), rate("generation_tokens_total")
    tokens = output is not None
    if tokens:
        prompt = max((prompt or 0.0) - (rate("cached_prompt_tokens_total") or 0.0), 0.0)
    elif finished is not None:
        prompt = finished
    else:
        return None
    if max(prompt, output or 0.0) > MOST_TOKENS:
        return None
    waiting, running = _mean(before.waiting, after.waiting), _mean(before.running, after.running)
    return Flow(
        duration_s=duration_s,
        prompt=prompt,
        output=output or 0.0,
        steps=rate("iterations_total"),
        first=rate("first_tokens_total") or finished or 0.0,
        finished=finished or 0.0,
        waiting=waiting or 0.0,
        running=running or 0.0,
        kv_usage=_mean(before.kv_usage, after.kv_usage),
        waiting_growth=((after.waiting or 0.0) - (before.waiting or 0.0)) / duration_s,
        running_growth=((after.running or 0.0) - (before.running or 0.0)) / duration_s,
        busy=_busy(before, after, tokens),
        tokens=tokens,
        preemptions=rate("preemptions_total") or 0.0,
    )


def _is_counted(name: str, before: EngineSample, after: EngineSample) -> bool:
    """Whether a counter can show a restart: one that was at zero shows none."""
    return bool(getattr(before, name)) and getattr(after, name) is not None


def _busy(before: EngineSample, after: EngineSample, tokens: bool) -> bool:
    """Whether it worked all the time. Where only requests are counted, only a queue at both ends shows that."""
    ends = (before, after)
    if tokens:
        return all((end.running or 0.0) >= BUSY_RUNNING or (end.waiting or 0.0) >= 1 for end in ends)
    return all((end.waiting or 0.0) >= 1 for end in ends)


def _mean(before: float | None, after: float | None) -> float | None:
    return after if before is None else before if after is None else (before + after) / 2
