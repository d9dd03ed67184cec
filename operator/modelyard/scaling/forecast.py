"""The demand to expect, and by how much forecasts were wrong so far."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, inf

Series = Sequence[tuple[float, float]]
"""(time, value), the oldest first."""

_LEVELS_S = (45.0, 120.0, 400.0)
_TRENDS_S = (180.0, 400.0, 900.0)
_FAVOUR = (1.0, 0.95, 0.9, 1.0, 1.0, 1.0)
"""Of methods that are about as good, those that look back longer change their mind less often."""

METHODS = len(_LEVELS_S) + len(_TRENDS_S)

_SETTLED_S = 30.0
"""A forecast is compared with the mean of the demand around its time, this long before and after."""

_ERRORS_OVER_S = 2400.0
_PENDING_KEPT = 256
_PENDING_IN_HORIZON = 240
"""Forecasts for a far horizon are made as often, and compared with fewer, so that none is dropped before its time."""

FIRST_ERROR = 0.2
"""Relative error that is provided for before forecasts could be compared with anything, as if four had been."""

_FIRST_WEIGHT = 4.0

LEAST_ERROR = 0.1
"""What is provided for however good the forecasts were."""

_BINS = 26
_LOWEST, _WIDTH = -0.5, 0.05
"""Relative errors are counted in bins from -50 % to +80 %: what is beyond counts as the last, so that a jump that no
forecast could know weighs no more than any error.
"""

SHARE_PROVIDED = 0.8
"""The share of forecasts whose error is provided for."""


@dataclass(frozen=True)
class Forecast:
    """``expected`` is the demand at the horizon, ``error`` by how much it is seldom exceeded; ``level`` is the demand
    of the last moments, ``steady`` of the last two minutes, ``calm`` of the last seven.
    """

    expected: float
    error: float
    level: float
    steady: float
    calm: float
    horizon_s: float

    def scaled(self, factor: float) -> "Forecast":
        """In another unit."""
        return replace(
            self,
            expected=factor * self.expected,
            error=factor * self.error,
            level=factor * self.level,
            steady=factor * self.steady,
            calm=factor * self.calm,
        )

    @property
    def provided(self) -> float:
        """The demand to provide for."""
        return self.expected + self.error


@dataclass(frozen=True)
class Method:
    """How wrong a method was: relative errors by bin, in numbers that fade, and their absolute sum."""

    counts: tuple[float, ...] = (0.0,) * _BINS
    absolute: float = 0.0

    @property
    def weight(self) -> float:
        return sum(self.counts)

    @property
    def error(self) -> float:
        """The mean absolute error."""
        return (self.absolute + _FIRST_WEIGHT * FIRST_ERROR) / (self.weight + _FIRST_WEIGHT)

    @property
    def exceeded(self) -> float:
        """The relative error that demand seldom exceeds a forecast by."""
        weight = self.weight
        left = SHARE_PROVIDED * weight
        quantile = FIRST_ERROR
        for at, count in enumerate(self.counts):
            if left <= count and count:
                quantile = _LOWEST + _WIDTH * (at + left / count)
                break
            left -= count
        return max((quantile * weight + FIRST_ERROR * _FIRST_WEIGHT) / (weight + _FIRST_WEIGHT), LEAST_ERROR)

    def faded(self, factor: float) -> "Method":
        return Method(tuple(count * factor for count in self.counts), self.absolute * factor)

    def with_error(self, error: float) -> "Method":
        """With one more relative error."""
        at = min(max(int((error - _LOWEST) / _WIDTH), 0), _BINS - 1)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Method(counts, self.absolute + min(abs(error), 1.0))


_UNTRIED = Method()


@dataclass(frozen=True)
class Forecasts:
    """``pending`` are forecasts by the time that they were for; ``methods`` how good each was."""

    pending: tuple[tuple[float, tuple[float, ...]], ...] = ()
    methods: tuple[Method, ...] = (_UNTRIED,) * METHODS
    judged_s: float | None = None

    def judged(self, series: Series, now_s: float, least: float) -> "Forecasts":
        """With the errors of those whose time has come, relative to the demand, or to ``least`` if that is more."""
        due = [entry for entry in self.pending if entry[0] + _SETTLED_S <= now_s]
        if not due or not series:
            return self
        fade = exp(-(now_s - (self.judged_s or now_s)) / _ERRORS_OVER_S)
        methods = [method.faded(fade) for method in self.methods]
        for time_s, values in due:
            actual = _mean(series, time_s - _SETTLED_S, time_s + _SETTLED_S)
            if actual is None:
                continue
            for at, value in enumerate(values):
                methods[at] = methods[at].with_error((actual - value) / max(value, least))
        pending = tuple(entry for entry in self.pending if entry[0] + _SETTLED_S > now_s)
        return Forecasts(pending, tuple(methods), now_s)

    def made(self, series: Series, now_s: float, horizon_s: float, least: float) -> tuple[Forecast, "Forecasts"]:
        """The forecast of the method that was best so far. ``series`` must not be empty."""
        level = level_of(series, now_s, _LEVELS_S[0])
        values = _values(series, now_s, horizon_s, level)
        best = min(range(METHODS), key=lambda at: self.methods[at].error * _FAVOUR[at])
        error = self.methods[best].exceeded * max(values[best], least)
        forecast = Forecast(values[best], error, level, values[1], values[2], horizon_s)
        last_s = self.pending[-1][0] if self.pending else -inf
        pending = self.pending
        if now_s + horizon_s - last_s >= horizon_s / _PENDING_IN_HORIZON or now_s + horizon_s < last_s:
            pending = (*pending, (now_s + horizon_s, values))[-_PENDING_KEPT:]
        return forecast, replace(self, pending=pending)


def _values(series: Series, now_s: float, horizon_s: float, level: float) -> tuple[float, ...]:
    levels = [level_of(series, now_s, window_s) for window_s in _LEVELS_S]
    trends = []
    for window_s in _TRENDS_S:
        value = _line(series, now_s, window_s, horizon_s)
        trends.append(min(max(value, level / 2, 0.0), 2 * level) if value is not None else level)
    return (*levels, *trends)


def level_of(series: Series, now_s: float, window_s: float) -> float:
    """Mean of the last ``window_s``, of two looks at least."""
    values = [value for time_s, value in series if time_s > now_s - window_s]
    if len(values) < 2:
        values = [value for _, value in series[-2:]]
    return sum(values) / len(values)


def _mean(series: Series, from_s: float, until_s: float) -> float | None:
    values = [value for time_s, value in series if from_s < time_s <= until_s]
    return sum(values) / len(values) if values else None


def _line(series: Series, now_s: float, window_s: float, horizon_s: float) -> float | None:
    """The line through the last ``window_s`` by least squares, at the horizon."""
    points = [(time_s - now_s, value) for time_s, value in series if time_s > now_s - window_s]
    if len(points) < 4:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    return mean_y + slope * (horizon_s - mean_x)
