"""Start-up times: how long the last start took, and whether the current one is slower."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from modelyard.api.conditions import timestamp
from modelyard.api.status import StartupStatus
from modelyard.observe.facts.pods import PodFacts
from modelyard.observe.facts.raw_object import moment

_STEPS_S = (10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1200, 1800, 2700)
"""Ages at which a message changes, and then every hour: the status must not be rewritten each second."""

SLOW_FACTOR = 1.5
SLOW_FLOOR_S = 15.0
"""A phase is slower than usual once it exceeds both this factor and this margin: short phases vary by seconds."""


def pace(since: datetime | None, now: datetime, usual_s: int | None) -> str:
    """How long a phase has lasted, as a parenthesis for a message; empty for the first seconds."""
    age_s = (now - since).total_seconds() if since else 0.0
    step_s = max((step for step in _STEPS_S if step <= age_s), default=0)
    step_s = max(step_s, int(age_s // 3600) * 3600)
    if not step_s:
        return ""
    if usual_s is not None and age_s > max(SLOW_FACTOR * usual_s, usual_s + SLOW_FLOOR_S):
        return f" (over {words(step_s)}; usually {words(usual_s)})"
    return f" (over {words(step_s)})"


def words(seconds: int) -> str:
    """A duration for people: 45 s, 2 min, 1 h 30 min."""
    if seconds < 120 and seconds % 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def measured(pods: Iterable[PodFacts], last: StartupStatus | None) -> StartupStatus | None:
    """The latest start of ``pods`` that became ready, else the ``last`` one.

    Only an engine that came up at the first attempt counts. One that began before the last start was ready is skipped:
    its Ready condition may have changed since.
    """
    after = moment({"at": last.ready_at}, "at") if last else None
    starts = [
        (pod.ready_changed, _start(pod, pod.begun, pod.engine.running_since, pod.ready_changed))
        for pod in pods
        if pod.ready and not pod.engine.restarts and pod.begun and pod.engine.running_since and pod.ready_changed
        if after is None or pod.engine.running_since > after
    ]
    return max(starts, key=lambda start: start[0])[1] if starts else last


def _start(pod: PodFacts, begun: datetime, loading: datetime, ready: datetime) -> StartupStatus:
    fetch_s = (pod.fetch.ended.ran_s if pod.fetch.ended else None) or 0.0
    return StartupStatus(
        ready_at=timestamp(ready),
        prepare_seconds=_seconds(loading - begun - timedelta(seconds=fetch_s)),
        fetch_seconds=max(0, round(fetch_s)),
        load_seconds=_seconds(ready - loading),
    )


def _seconds(span: timedelta) -> int:
    return max(0, round(span.total_seconds()))
