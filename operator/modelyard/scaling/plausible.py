"""What an engine can have measured: figures that no engine can have are not known, whoever reported them."""

from dataclasses import fields, replace
from math import isfinite
from typing import Any

from modelyard.integrations.signals.engine_metrics import EngineSample, Histogram

_OF_THE_SOURCE = ("time_s", "interval_s")

MOST = 1e18
"""No counter of an engine ever gets there, and its products with others stay figures."""


def plausible(sample: EngineSample) -> EngineSample:
    """Without the figures that are negative, infinite, no number or beyond measure."""
    changed: dict[str, Any] = {}
    for field in fields(sample):
        value = getattr(sample, field.name)
        if isinstance(value, Histogram):
            if not all(map(_is_plausible, (value.sum, value.count, *value.buckets.values()))):
                changed[field.name] = None
        elif isinstance(value, float | int) and field.name not in _OF_THE_SOURCE and not _is_plausible(value):
            changed[field.name] = None
            changed["missing"] = {**sample.missing, **changed.get("missing", {}), field.name: f"it is {value:g}"}
    return replace(sample, **changed) if changed else sample


def _is_plausible(value: float) -> bool:
    return isfinite(value) and 0 <= value <= MOST
