"""What is remembered of children that were reverted."""

from datetime import UTC, datetime, timedelta

from modelyard.api import kinds
from modelyard.api.service import Key
from modelyard.controller.reconcile.revert_limits import UNHINDERED, WINDOW, Reverts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Key("team-a", "smollm")


def test_children_that_are_left_in_peace_are_forgotten_even_if_never_looked_up_again() -> None:
    reverts = Reverts()
    for number in range(100):
        reverts.note(kinds.SERVICE, Key("team-a", f"deleted-{number}"), "spec.type", NOW)
    reverts.note(kinds.SERVICE, PLACE, "spec.type", NOW + WINDOW)
    assert len(reverts) == 1


def test_a_child_that_is_contested_again_after_a_pause_starts_anew() -> None:
    reverts = Reverts()
    for _ in range(UNHINDERED):
        reverts.note(kinds.SERVICE, PLACE, "spec.type", NOW)
    assert reverts.history(kinds.SERVICE, PLACE, NOW).contested_field == "spec.type"
    assert reverts.history(kinds.SERVICE, PLACE, NOW + WINDOW).contested_field == ""
    reverts.note(kinds.SERVICE, PLACE, "spec.type", NOW + WINDOW)
    assert reverts.history(kinds.SERVICE, PLACE, NOW + WINDOW).wait(NOW + WINDOW) == timedelta(0)
