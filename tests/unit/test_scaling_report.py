"""What is reported of a decision, and when that is news."""

from dataclasses import replace
from typing import Any

import pytest

from modelyard.api.scaling import Scaling
from modelyard.controller.autoscaler.report import Reported, changes_in, report, stored
from modelyard.observe.facts.field_managers import replicas_writer
from modelyard.scaling.decision import Change, Decision, Input
from modelyard.scaling.observation import Capacity, Observation
from tests.support.observed import NOW

SCALING = Scaling(max_replicas=8)
LOOK = Observation(NOW.timestamp(), 2, ())
DECISION = Decision(2, 2, "Steady", "2 replicas.", {"demand": Input(1.5, 2)})
HISTORY = tuple(Change(NOW.timestamp() - 60 * n, n, n + 1, "DemandRose") for n in range(20, 0, -1))


def later(seconds: float, **fields: Any) -> Observation:
    return replace(LOOK, now_s=LOOK.now_s + seconds, **fields)


@pytest.fixture
def before() -> Reported:
    return report(SCALING, LOOK, DECISION, HISTORY, None)


def test_the_last_ten_changes_are_reported_the_latest_first(before: Reported) -> None:
    history = before.report.status.history
    assert [change.from_ for change in history] == list(range(1, 11))
    assert history[0].time == "2026-11-22T11:59:00Z"


def test_a_status_that_is_read_again_is_the_same_report_and_history(before: Reported) -> None:
    status = {"scaling": before.report.status.model_dump(mode="json", by_alias=True, exclude_none=True)}
    assert changes_in(status) == HISTORY[-10:]
    again = stored(status, SCALING)
    assert again is not None
    assert again.report == before.report
    assert report(SCALING, later(15), DECISION, HISTORY, again) is again


def test_figures_alone_are_news_after_five_minutes_and_keep_the_decisions_time(before: Reported) -> None:
    other = replace(DECISION, inputs={"demand": Input(1.7, 2)})
    assert report(SCALING, later(299), other, HISTORY, before) is before
    new = report(SCALING, later(300), other, HISTORY, before)
    assert new.report.status.inputs[0].value == "1.7"
    assert new.report.status.decided_at == before.report.status.decided_at
    assert report(SCALING, later(900), other, HISTORY, new) is new, "nothing has changed"


@pytest.mark.parametrize(
    ("look", "decision", "scaling"),
    [
        (later(15, current=3), DECISION, SCALING),
        (later(15), replace(DECISION, desired=3), SCALING),
        (later(15, capacity=Capacity(1, "QuotaExceeded", "Quota.")), DECISION, SCALING),
        (later(15), DECISION, Scaling(max_replicas=9)),
        (later(15), DECISION, Scaling(max_replicas=8, mode="Recommend")),
    ],
)
def test_news_is_reported_at_once(before: Reported, look: Observation, decision: Decision, scaling: Scaling) -> None:
    new = report(scaling, look, decision, HISTORY, before)
    assert new is not before
    assert new.report.status.decided_at == "2026-11-22T12:00:15Z"


def test_another_reason_for_the_same_number_is_news_after_a_minute(before: Reported) -> None:
    other = replace(DECISION, reason="WaitingToScaleDown")
    assert report(SCALING, later(59), other, HISTORY, before) is before
    assert report(SCALING, later(60), other, HISTORY, before).report.status.reason == "WaitingToScaleDown"


def flapping(decision: Decision, before: Reported, ticks: int) -> int:
    """How many reports come of as many looks, 15 s apart, of which every other one is as ``decision``."""
    written, last = 0, before
    for number in range(1, ticks + 1):
        found = report(SCALING, later(15 * number), decision if number % 2 else DECISION, HISTORY, last)
        written, last = written + (found is not last), found
    return written


@pytest.mark.parametrize("value", [1.5, None], ids=["partly unknown", "all unknown"])
def test_a_pod_that_answers_at_times_is_no_news_with_every_look(before: Reported, value: float | None) -> None:
    unknown = replace(DECISION, unknown=("a: no answer",), inputs={"demand": Input(value, None)})
    assert flapping(unknown, before, 40) <= 10


def test_that_nothing_is_known_is_reported_at_once(before: Reported) -> None:
    blind = replace(DECISION, reason="MetricsUnavailable", unknown=("a: x",), inputs={"demand": Input(None, None)})
    found = report(SCALING, later(15), blind, HISTORY, before)
    assert found.report.is_blind
    assert report(SCALING, later(60), DECISION, HISTORY, found) is found
    assert not report(SCALING, later(75), DECISION, HISTORY, found).report.is_blind


def test_what_fits_is_reported_where_it_is_less_than_desired() -> None:
    wide = report(SCALING, replace(LOOK, capacity=Capacity(2, "QuotaExceeded", "No quota.")), DECISION, (), None)
    assert wide.report.status.achievable is None
    short = report(SCALING, replace(LOOK, capacity=Capacity(1, "QuotaExceeded", "No quota.")), DECISION, (), None)
    assert short.report.status.achievable == 1
    assert short.report.status.message == "2 replicas. No quota."


def test_unknown_is_never_zero() -> None:
    blind = replace(DECISION, reason="MetricsUnavailable", inputs={"demand": Input(None, None)}, unknown=("a: x",))
    found = report(SCALING, LOOK, blind, (), None).report
    assert found.status.inputs[0].value == "unknown"
    assert (found.unknown, found.is_blind) == (("a: x",), True)
    raised_by_a_schedule = replace(blind, reason="Scheduled", desired=4)
    assert report(SCALING, LOOK, raised_by_a_schedule, (), None).report.is_blind
    partly = replace(blind, reason="MetricsIncomplete", inputs={"demand": Input(1.5, 2)})
    assert not report(SCALING, LOOK, partly, (), None).report.is_blind


def entry(manager: str, time: str, **fields: Any) -> dict[str, Any]:
    return {"manager": manager, "time": time, "fieldsV1": {"f:spec": fields}}


@pytest.mark.parametrize(
    ("entries", "writer"),
    [
        ([], ""),
        ([entry("kubectl", "2026-01-01T00:00:00Z", **{"f:model": {}})], ""),
        (
            [
                entry("kubectl", "2026-01-02T00:00:00Z", **{"f:replicas": {}}),
                entry("argocd", "2026-01-03T00:00:00Z", **{"f:replicas": {}}),
                entry("modelyard", "2026-01-04T00:00:00Z"),
            ],
            "argocd",
        ),
    ],
)
def test_who_wrote_the_number_last(entries: list[dict[str, Any]], writer: str) -> None:
    assert replicas_writer({"metadata": {"managedFields": entries}}) == writer


def test_another_reason_for_which_fewer_fit_is_news() -> None:
    def short(why: str, seconds: float, known: Reported | None) -> Reported:
        return report(SCALING, later(seconds, capacity=Capacity(1, why, f"{why}.")), DECISION, (), known)

    before = short("Unschedulable", 0, None)
    assert short("Unschedulable", 15, before) is before
    new = short("InsufficientAccelerators", 30, before)
    assert new.report.status.message == "2 replicas. InsufficientAccelerators."
