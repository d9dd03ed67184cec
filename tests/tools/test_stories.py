"""The judge of the end-to-end scenarios: which stories of a status are true, and which are refused."""

import json
from collections.abc import Sequence

import pytest

from e2e.support.causes import Cause, judge
from e2e.support.stories import Moment, Stories

CURED_S = 10.0
CAUSE = Cause(
    "a cause",
    dict,
    "AccessDenied",
    (),
    print,
    meanwhile=frozenset({"SourceChanged"}),
    after_cure=frozenset({"NodeRefused"}),
)


def moment(at_s: float, reason: str, **others: str) -> Moment:
    """A service whose Ready condition has that reason; ``others`` are conditions that are true, with theirs."""
    ready = {"type": "Ready", "status": "True" if reason == "Ready" else "False", "reason": reason, "message": ""}
    rest = [{"type": type_, "status": "True", "reason": why, "message": ""} for type_, why in others.items()]
    return Moment(at_s, {"status": {"conditions": [ready, *rest]}})


def story(before: Sequence[str], after: Sequence[str]) -> list[Moment]:
    """Moments before and after the cure."""
    first = [moment(number / 100, reason) for number, reason in enumerate(before)]
    return first + [moment(CURED_S + number, reason) for number, reason in enumerate(after)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["", "Creating", "Fetching", "AccessDenied"], ["AccessDenied", "Fetching", "Starting", "Ready"]),
        (["SourceChanged", "AccessDenied"], ["SourceChanged", "Ready"]),
        (["AccessDenied"], ["Ready"]),
        (["AccessDenied"], ["NodeRefused", "Starting", "Ready"]),
    ],
)
def test_a_story_with_one_cause_is_true(before: list[str], after: list[str]) -> None:
    judge(CAUSE, story(before, after), CURED_S)


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (["Ready", "AccessDenied"], ["Ready"], "Ready before the cure"),
        (["AccessDenied", "Fetching", "AccessDenied"], ["Ready"], "reported {'AccessDenied'} before"),
        (["AccessDenied", "Fetching"], ["Ready"], "before|came and went"),
        (["Unschedulable", "AccessDenied"], ["Ready"], "reported {'Unschedulable'} before"),
        (["NodeRefused", "AccessDenied"], ["Ready"], "reported {'NodeRefused'} before"),
        (["AccessDenied"], ["Fetching", "AccessDenied", "Ready"], "reported {'AccessDenied'} after"),
        (["AccessDenied"], ["Fetching", "ImagePullFailed", "Ready"], "reported {'ImagePullFailed'} after"),
    ],
)
def test_a_story_with_anything_else_is_refused(before: list[str], after: list[str], refused: str) -> None:
    with pytest.raises(AssertionError, match=refused):
        judge(CAUSE, story(before, after), CURED_S)


def test_a_service_that_is_on_its_way_and_held_up_at_once_is_refused() -> None:
    both = moment(1, "AccessDenied", Reconciling="Fetching", Stalled="AccessDenied")
    with pytest.raises(AssertionError, match="at once"):
        judge(CAUSE, [both, *story([], ["Ready"])], CURED_S)


def collected(*reasons: str) -> Stories:
    stories = Stories()
    for reason in reasons:
        body = moment(0, reason).body | {"metadata": {"name": "service"}}
        stories.add(json.dumps({"type": "MODIFIED", "object": body}))
    return stories


def test_what_is_in_force_at_a_time_counts_as_reported_then() -> None:
    stories = collected("Fetching", "AccessDenied")
    now_s = stories.of("service")[-1].at_s + 1
    first = stories.first("service", lambda m: m.reports()[0] == "AccessDenied", since_s=now_s, within_s=60)
    assert first.at_s == now_s


def test_what_is_not_reported_in_time_is_an_error_that_shows_what_was_reported() -> None:
    stories = collected("Fetching")
    with pytest.raises(AssertionError, match="Fetching"):
        stories.first("service", lambda m: m.is_ready, since_s=stories.of("service")[0].at_s, within_s=0.01)
