"""Two runs of the same traffic beside each other, window by window. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelyard.integrations.signals.engine_metrics import EngineSample


@dataclass(frozen=True)
class Window:
    """What an engine did in a part of a run: tokens generated and prompt tokens computed per second, and the means of
    the requests that waited and ran.
    """

    start_s: float
    generated_per_s: float
    prompt_per_s: float
    waiting: float
    running: float


def windows(samples: Sequence[EngineSample], width_s: float, duration_s: float) -> list[Window]:
    """The whole windows of a run, from its begin on. Raises ValueError where one has no sample."""
    starts = [number * width_s for number in range(int(duration_s / width_s) + 1)]
    return [_window(samples, start_s, end_s) for start_s, end_s in pairwise(starts)]


def _window(samples: Sequence[EngineSample], start_s: float, end_s: float) -> Window:
    within = [sample for sample in samples if start_s <= sample.time_s < end_s]
    if not within:
        raise ValueError(f"no sample from {start_s:g} to {end_s:g} s")

    def per_s(counter: str) -> float:
        return (_at(samples, counter, end_s) - _at(samples, counter, start_s)) / (end_s - start_s)

    return Window(
        start_s,
        per_s("generation_tokens_total"),
        per_s("prompt_tokens_total"),
        statistics.mean(_value(sample, "waiting") for sample in within),
        statistics.mean(_value(sample, "running") for sample in within),
    )


def _at(samples: Sequence[EngineSample], counter: str, time_s: float) -> float:
    """A counter at a time: linear between the samples around it, and as in the nearest one beyond them."""
    for before, after in pairwise(samples):
        if before.time_s <= time_s < after.time_s:
            share = (time_s - before.time_s) / (after.time_s - before.time_s)
            return _value(before, counter) * (1 - share) + _value(after, counter) * share
    return _value(samples[0] if time_s < samples[0].time_s else samples[-1], counter)


def _value(sample: EngineSample, name: str) -> float:
    value: float | None = getattr(sample, name)
    if value is None:
        raise ValueError(f"a sample without {name}")
    return value


@dataclass(frozen=True)
class Errors:
    """How far a run is from the one that is taken as true: the mean difference of a window, as a share of the mean."""

    generated: float
    prompt: float
    waiting: float
    running: float


def errors(found: Sequence[Window], true: Sequence[Window]) -> Errors:
    """Of two runs over the same windows. Raises ValueError where the true one is zero throughout."""
    return Errors(*(relative_error(*_curves(found, true, name)) for name in _CURVES))


_CURVES = ("generated_per_s", "prompt_per_s", "waiting", "running")


def _curves(found: Sequence[Window], true: Sequence[Window], name: str) -> tuple[list[float], list[float]]:
    return [getattr(window, name) for window in found], [getattr(window, name) for window in true]


def relative_error(found: Sequence[float], true: Sequence[float]) -> float:
    """Mean absolute difference, as a share of the mean of ``true``. Raises ValueError where that is zero."""
    mean = statistics.mean(true)
    if mean == 0:
        raise ValueError("a curve that is zero throughout has no relative error")
    return statistics.mean(abs(mine - theirs) for mine, theirs in zip(found, true, strict=True)) / mean
