"""How events look, and how many of them there may be."""

from datetime import UTC, datetime, timedelta

from modelyard.controller.reconcile.events import (
    MOST_IN_WINDOW,
    MOST_OF_A_REASON,
    REMEMBERED_SERVICES,
    WINDOW,
    EventFilter,
    event,
)
from tests.support import factories

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_same_event_is_posted_once_within_ten_minutes() -> None:
    events = EventFilter()
    assert events.lets_pass("uid", "Ready", "answers", NOW)
    assert not events.lets_pass("uid", "Ready", "answers", NOW + WINDOW - timedelta(seconds=1))
    assert events.lets_pass("uid", "Ready", "answers", NOW + WINDOW)


def test_other_texts_and_other_services_are_posted() -> None:
    events = EventFilter()
    assert events.lets_pass("uid", "Ready", "answers", NOW)
    assert events.lets_pass("uid", "Ready", "answers again", NOW)
    assert events.lets_pass("another", "Ready", "answers", NOW)


def test_a_service_that_flaps_does_not_flood_the_events() -> None:
    events = EventFilter()
    passed = [events.lets_pass("uid", f"Failed{number}", "again", NOW) for number in range(100)]
    assert sum(passed) == MOST_IN_WINDOW
    assert events.lets_pass("uid", "Failed100", "again", NOW + WINDOW)


def test_what_is_posted_of_every_node_leaves_room_for_other_events() -> None:
    events = EventFilter()
    passed = [events.lets_pass("uid", "ModelCached", f"on node {number}", NOW) for number in range(100)]
    assert sum(passed) == MOST_OF_A_REASON
    assert events.lets_pass("uid", "Failed", "exit code 1", NOW)


def test_services_that_are_long_gone_take_no_memory() -> None:
    events = EventFilter()
    for number in range(REMEMBERED_SERVICES + 1):
        events.lets_pass(f"uid-{number}", "Ready", "answers", NOW)
    assert events.lets_pass("uid-0", "Ready", "answers", NOW)
    assert not events.lets_pass("uid-2", "Ready", "answers", NOW)


def test_a_note_is_cut_to_what_the_api_server_takes() -> None:
    body = event(factories.service(), "Warning", "Failed", "é" * 1000, instance="pod", now=NOW)
    assert len(body["note"].encode()) == 1024
    assert body["eventTime"] == "2026-01-01T00:00:00.000000Z"


def test_names_sort_by_time_as_describe_lists_them() -> None:
    moments = [NOW + timedelta(microseconds=step**7) for step in range(20)]
    listed = [
        event(factories.service(), "Normal", "Ready", "answers", instance="pod", now=moment)["metadata"]["name"]
        for moment in moments
    ]
    assert listed == sorted(set(listed))
