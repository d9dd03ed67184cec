"""Minimums by time of day: which hold now, or begin within the time that a replica takes to start."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from modelyard.api.scaling import Schedule

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Floor(NamedTuple):
    """A minimum of replicas, and where it comes from in words."""

    replicas: int
    text: str


def floor(schedules: Sequence[Schedule], now_s: float, lead_s: float) -> Floor | None:
    """The highest minimum that holds at ``now_s``, or begins within ``lead_s`` from then."""
    holding = [found for schedule in schedules if (found := _floor(schedule, now_s, lead_s)) is not None]
    return max(holding, key=lambda each: each.replicas, default=None)


def problems(schedules: Sequence[Schedule]) -> tuple[str, ...]:
    """What keeps schedules from taking effect."""
    return tuple(
        f"schedules: {schedule.time_zone} is not a known time zone, so the minimum of {schedule.min_replicas} from "
        f"{schedule.start} has no effect; write an IANA name such as Europe/Berlin"
        for schedule in schedules
        if _zone(schedule.time_zone) is None
    )


def _floor(schedule: Schedule, now_s: float, lead_s: float) -> Floor | None:
    zone = _zone(schedule.time_zone)
    if zone is None:
        return None
    for start_s, end_s in _windows(schedule, zone, now_s):
        if start_s - lead_s <= now_s < end_s:
            period = f"{schedule.start} to {schedule.end} {schedule.time_zone}"
            early = f", {start_s - now_s:.0f} s ahead" if now_s < start_s else ""
            return Floor(schedule.min_replicas, f"the schedule {period}{early}")
    return None


def _windows(schedule: Schedule, zone: ZoneInfo, now_s: float) -> Iterator[tuple[float, float]]:
    """Start and end of those from yesterday's to tomorrow's, in seconds since the epoch.

    A time that the clocks leave out in spring is the moment at which they jump; of one that comes twice in autumn, the
    first starts a window and the second ends it, so that it covers both.
    """
    today = datetime.fromtimestamp(now_s, zone).date()
    start, end = time.fromisoformat(schedule.start), time.fromisoformat(schedule.end)
    for offset in (-1, 0, 1):
        day = today + timedelta(days=offset)
        if schedule.days and _DAYS[day.weekday()] not in schedule.days:
            continue
        last = day + timedelta(days=1) if end <= start else day
        yield _moment(day, start, zone, fold=0), _moment(last, end, zone, fold=1)


def _moment(day: date, at: time, zone: ZoneInfo, fold: int) -> float:
    local = datetime.combine(day, at.replace(fold=fold), zone)
    moment_s = local.timestamp()
    if datetime.fromtimestamp(moment_s, zone).replace(fold=0) == local.replace(fold=0):
        return moment_s
    # The clocks jump over it: the jump is between what the offsets before and after it make of it.
    low_s, high_s = sorted(local.replace(fold=each).timestamp() for each in (0, 1))
    offset = datetime.fromtimestamp(high_s + 1, zone).utcoffset()
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) / 2
        if datetime.fromtimestamp(middle_s, zone).utcoffset() == offset:
            high_s = middle_s
        else:
            low_s = middle_s
    return float(int(high_s))


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    """None for a name that no time zone has; users write it, so any error means that."""
    try:
        zone = ZoneInfo(name)
        datetime.now(UTC).astimezone(zone)
    except (ValueError, OSError, KeyError):
        return None
    return zone
