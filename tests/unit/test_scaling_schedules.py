"""Minimums by time of day: start inclusive, end exclusive, over midnight, on both days that the clocks change."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from modelyard.api.scaling import Scaling, Schedule
from modelyard.scaling.decide import TICK_S, decide
from modelyard.scaling.memory import Memory
from modelyard.scaling.observation import ColdStart, Observation
from modelyard.scaling.schedules import floor, problems


def schedule(start: str, end: str, zone: str = "Europe/Berlin", minimum: int = 3, **fields: Any) -> Schedule:
    return Schedule(start=start, end=end, time_zone=zone, min_replicas=minimum, **fields)


def at(text: str) -> float:
    """Local time in Berlin with its offset, or in UTC with a Z."""
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Case:
    id: str
    schedule: Schedule
    now: str
    holds: bool


DAY = schedule("08:00", "18:00")
NIGHT = schedule("22:00", "06:00")
WEEKEND_NIGHT = schedule("22:00", "06:00", days=["Sat"])
CASES = (
    Case("from its start", DAY, "2026-12-01T08:00:00+01:00", True),
    Case("not before", DAY, "2026-12-01T07:59:59+01:00", False),
    Case("until its end", DAY, "2026-12-01T17:59:59+01:00", True),
    Case("not at its end", DAY, "2026-12-01T18:00:00+01:00", False),
    Case("over midnight, before", NIGHT, "2026-12-01T23:59:00+01:00", True),
    Case("over midnight, after", NIGHT, "2026-12-02T05:59:59+01:00", True),
    Case("over midnight, not at its end", NIGHT, "2026-12-02T06:00:00+01:00", False),
    Case("a whole day", schedule("06:00", "06:00"), "2026-12-02T05:59:00+01:00", True),
    Case("on the day it starts", WEEKEND_NIGHT, "2026-12-05T23:00:00+01:00", True),
    Case("and on into the next", WEEKEND_NIGHT, "2026-12-06T05:00:00+01:00", True),
    Case("not on another", WEEKEND_NIGHT, "2026-12-06T23:00:00+01:00", False),
    Case("in its own zone", schedule("08:00", "18:00", "Asia/Kolkata"), "2026-12-01T02:30:00Z", True),
    Case("in summer by summer's offset", DAY, "2026-07-01T06:00:00Z", True),
    Case("and not an hour later", DAY, "2026-07-01T16:00:00Z", False),
    # 2026-03-29: 02:00 +01:00 becomes 03:00 +02:00
    Case("a start that the clocks leave out is the jump", schedule("02:30", "05:00"), "2026-03-29T01:00:00Z", True),
    Case("not before the jump", schedule("02:30", "05:00"), "2026-03-29T00:59:59Z", False),
    Case("an end that the clocks leave out is the jump", schedule("00:00", "02:30"), "2026-03-29T00:59:59Z", True),
    Case("not after the jump", schedule("00:00", "02:30"), "2026-03-29T01:00:00Z", False),
    Case("over the jump it ends by the clock", schedule("22:00", "06:00"), "2026-03-29T03:59:59Z", True),
    Case("and not later", schedule("22:00", "06:00"), "2026-03-29T04:00:00Z", False),
    # 2026-10-25: 03:00 +02:00 becomes 02:00 +01:00
    Case("a start that comes twice is the first", schedule("02:30", "05:00"), "2026-10-25T00:30:00Z", True),
    Case("an end that comes twice is the second", schedule("00:00", "02:30"), "2026-10-25T01:29:59Z", True),
    Case("and not later than that", schedule("00:00", "02:30"), "2026-10-25T01:30:00Z", False),
    Case("over the repeated hour it ends by the clock", schedule("22:00", "06:00"), "2026-10-25T04:59:59Z", True),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_holds(case: Case) -> None:
    assert (floor([case.schedule], at(case.now), 0.0) is not None) == case.holds


def test_the_highest_of_those_that_hold_wins() -> None:
    found = floor(
        [DAY, schedule("10:00", "12:00", minimum=7), schedule("00:00", "09:00", minimum=9)],
        at("2026-12-01T11:00+01:00"),
        0,
    )
    assert found is not None
    assert found.replicas == 7
    assert "10:00 to 12:00 Europe/Berlin" in found.text


def test_it_begins_as_much_early_as_a_replica_takes_to_start() -> None:
    assert floor([DAY], at("2026-12-01T07:50:00+01:00"), 600.0) is not None
    assert floor([DAY], at("2026-12-01T07:49:59+01:00"), 600.0) is None
    assert floor([DAY], at("2026-12-01T17:59:00+01:00"), 600.0) is not None
    assert floor([DAY], at("2026-12-01T18:00:00+01:00"), 600.0) is None, "its end is no earlier"


def test_by_the_measured_cold_start_in_a_decision() -> None:
    scaling = Scaling(min_replicas=1, max_replicas=5, schedules=[DAY])
    start_s = at("2026-12-01T08:00:00+01:00")

    def desired(now_s: float) -> int:
        observation = Observation(now_s, 1, (), cold_start=ColdStart(200.0, 250.0))
        return decide(scaling, Memory(), observation)[0].desired

    assert desired(start_s - 200 - TICK_S) == 3
    assert desired(start_s - 201 - TICK_S) == 1


def test_a_time_zone_that_does_not_exist_is_named_and_the_others_hold() -> None:
    wrong = schedule("08:00", "18:00", "Europe/Berlni", 5)
    for zone in ("Europe/Berlni", "../../etc/passwd", "", "\0", "Europe"):
        assert problems([wrong.model_copy(update={"time_zone": zone})]), zone
    scaling = Scaling(max_replicas=9, schedules=[wrong, DAY])
    observation = Observation(at("2026-12-01T11:00+01:00"), 1, ())
    decision, _ = decide(scaling, Memory(), observation)
    assert decision.desired == 3
    assert "Europe/Berlni is not a known time zone" in decision.message
    assert any("Europe/Berlni" in cause for cause in decision.unknown)


def test_every_minute_of_a_year_agrees_with_the_clock_on_the_wall() -> None:
    zone = ZoneInfo("America/New_York")
    office = schedule("08:30", "17:45", "America/New_York", days=["Mon", "Tue", "Wed", "Thu", "Fri"])
    begin_s = at("2026-01-01T00:00:00Z")
    for quarter in range(0, 365 * 96, 3):
        now_s = begin_s + quarter * 900
        local = datetime.fromtimestamp(now_s, zone)
        open_ = local.weekday() < 5 and (8, 30) <= (local.hour, local.minute) < (17, 45)
        assert (floor([office], now_s, 0.0) is not None) == open_, local
