"""How long starts take: what is measured of them, and what is slower than usual."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from modelyard.api.status import StartupStatus
from modelyard.observe.facts.pods import pod_facts
from modelyard.observe.facts.raw_object import readable
from modelyard.observe.reasons.startup_times import measured, pace, words
from tests.support.observed import NOW, OLD, World, ago, conditions, ended, loading, pod, running, serving

LAST = StartupStatus(ready_at=ago(3600), prepare_seconds=5, fetch_seconds=20, load_seconds=45)


@pytest.mark.parametrize(
    ("age_s", "usual_s", "expected"),
    [
        (9, None, ""),
        (10, None, " (over 10 s)"),
        (59, 45, " (over 45 s)"),
        (68, 45, " (over 1 min; usually 45 s)"),
        (67, 45, " (over 1 min)"),
        (19, 2, " (over 10 s; usually 2 s)"),
        (16, 2, " (over 10 s)"),
        (299, 400, " (over 3 min)"),
        (7300, None, " (over 2 h)"),
        (-5, 1, ""),
    ],
)
def test_a_phase_is_reported_in_coarse_steps_and_as_slow_only_when_it_is(
    age_s: float, usual_s: int, expected: str
) -> None:
    assert pace(NOW - timedelta(seconds=age_s), NOW, usual_s) == expected


def test_a_phase_whose_beginning_is_unknown_has_no_age() -> None:
    assert pace(None, NOW, 5) == ""


def test_the_text_of_a_start_changes_rarely() -> None:
    begun = NOW - timedelta(hours=1)
    texts = [pace(begun, begun + timedelta(seconds=second), 45) for second in range(3600)]
    assert sum(one != other for one, other in pairwise(texts)) < 20


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(5, "5 s"), (60, "1 min"), (90, "90 s"), (150, "2 min"), (2700, "45 min"), (3600, "1 h"), (5400, "1 h 30 min")],
)
def test_time_spans_are_written_for_people(seconds: int, expected: str) -> None:
    assert words(seconds) == expected


def came_up(name: str = "a", *, ready_s: float = 60, loading_s: float = 600, **fields: Any) -> Any:
    fetched = ended(0, ran_s=30, since_s=loading_s + 10)
    engine = running(loading_s)
    return pod_facts(
        pod(name, fetch=fetched, engine=engine, started=True, ready=True, begun_s=700, changed_s=ready_s, **fields)
    )


def test_a_start_is_measured_by_its_phases() -> None:
    assert measured([came_up()], None) == StartupStatus(
        ready_at=ago(60), prepare_seconds=70, fetch_seconds=30, load_seconds=540
    )


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param([], id="no pod"),
        pytest.param([pod_facts(loading())], id="a pod that still loads"),
        pytest.param([came_up(restarts=1)], id="an engine that did not come up at once"),
        pytest.param([came_up(loading_s=3700)], id="a pod that was ready before, and is again"),
    ],
)
def test_pods_without_a_new_start_leave_the_last_measurement(pods: list[Any]) -> None:
    assert measured(pods, LAST) == LAST


def test_of_several_starts_the_latest_counts() -> None:
    found = measured([came_up("a", ready_s=60), came_up("b", ready_s=20)], LAST)
    assert found is not None
    assert found.ready_at == ago(20)


def test_a_pod_that_falls_silent_and_comes_back_changes_no_measurement() -> None:
    first = World(serving(changed_s=300)).verdict()
    again = World(serving(changed_s=5)).verdict(first.status)
    assert again.status["startup"] == first.status["startup"]


@pytest.mark.parametrize("junk", [None, {}, [], "fast", {"readyAt": "now"}, {"readyAt": "now", "loadSeconds": -1}])
def test_what_cannot_be_read_was_never_measured(junk: Any) -> None:
    assert readable(StartupStatus, junk) is None


def test_a_slow_start_is_reported_with_what_is_usual() -> None:
    status = {"startup": LAST.model_dump(by_alias=True)}
    slow = conditions(World(loading(engine=running(130))).verdict(status))["Ready"]["message"]
    assert "(over 2 min; usually 45 s); the start-up limit ends at" in slow
    prepared = conditions(World(pod(begun_s=61)).verdict(status))["Ready"]["message"]
    assert "is preparing the pod: pulling images and mounting volumes (over 1 min; usually 5 s)." in prepared
    fetched = conditions(World(pod(fetch=running(40))).verdict(status))["Ready"]["message"]
    assert "(over 30 s; usually 20 s)" in fetched


def test_the_last_start_stays_in_the_status_while_another_is_under_way() -> None:
    status = {"startup": LAST.model_dump(by_alias=True)}
    assert World(serving(template=OLD), loading("b")).verdict(status).status["startup"] == status["startup"]
