"""What runs of a service, by who wrote which number last."""

from typing import Any

import pytest

from modelyard.api.service import parse
from modelyard.api.settings import Prometheus
from modelyard.contract.errors import InvalidError
from modelyard.desired.replicas import effective_replicas
from modelyard.desired.resolve import resolve
from tests.support.factories import service
from tests.support.rendering import SETTINGS

FROM_2_TO_8 = {"minReplicas": 2, "maxReplicas": 8}
TO_ZERO = {"minReplicas": 0, "maxReplicas": 8}
RECOMMEND = {**FROM_2_TO_8, "mode": "Recommend"}


def effective(scaling: Any, replicas: int, running: int, decided: int | None = None, mode: str = "Auto") -> int:
    status = None if decided is None else {"scaling": {"mode": mode, "desired": decided}}
    return effective_replicas(parse(service(replicas=replicas, scaling=scaling, status=status)), running)


@pytest.mark.parametrize(
    ("what", "scaling", "numbers", "runs"),
    [
        ("without scaling, the user's number", None, (3, 6, None), 3),
        ("without scaling, whatever was decided before", None, (3, 6, 6), 3),
        ("a new service begins with the minimum", FROM_2_TO_8, (1, 0, None), 2),
        ("a new service begins with the user's number", FROM_2_TO_8, (4, 0, None), 4),
        ("a new service begins with one, though it may go to zero", TO_ZERO, (1, 0, None), 1),
        ("a new service begins with the maximum at most", FROM_2_TO_8, (20, 0, None), 8),
        ("the line replicas goes as scaling comes", FROM_2_TO_8, (1, 6, None), 6),
        ("scaling comes to a service above its maximum", FROM_2_TO_8, (12, 12, None), 12),
        ("a decision to grow is written, its status is not", FROM_2_TO_8, (5, 4, 4), 5),
        ("a decision to shrink is written, its status is not", FROM_2_TO_8, (3, 4, 4), 4),
        ("a decision to shrink is in both", FROM_2_TO_8, (3, 4, 3), 3),
        ("an applied file has a smaller number", FROM_2_TO_8, (1, 6, 6), 6),
        ("kubectl scale to more", FROM_2_TO_8, (7, 6, 6), 7),
        ("kubectl scale to more than the maximum", FROM_2_TO_8, (20, 6, 6), 8),
        ("kubectl scale to zero", TO_ZERO, (0, 6, 6), 6),
        ("the maximum falls below what runs", {"minReplicas": 1, "maxReplicas": 3}, (6, 6, 6), 6),
        ("the minimum rises above what runs", {"minReplicas": 5, "maxReplicas": 8}, (2, 2, 2), 5),
        ("at zero", TO_ZERO, (0, 0, 0), 0),
        ("woken by kubectl scale", TO_ZERO, (1, 0, 0), 1),
    ],
)
def test_what_runs(what: str, scaling: Any, numbers: tuple[int, int, int | None], runs: int) -> None:
    """The numbers: spec.replicas, what the Deployment is set to, and what was decided."""
    assert effective(scaling, *numbers) == runs, what


@pytest.mark.parametrize(
    ("reason", "failures", "least", "runs"),
    [("StartFailed", 4, 0, 1), ("StartFailed", 5, 0, 0), ("Idle", 5, 0, 1), ("StartFailed", 5, 2, 2)],
)
def test_a_number_that_is_written_again_and_again_starts_what_cannot_start_a_few_times_only(
    reason: str, failures: int, least: int, runs: int
) -> None:
    history = [change for _ in range(failures) for change in ({"from": 1, "to": 0, "reason": reason},
               {"from": 0, "to": 1, "reason": "ScaledByOthers"})]  # fmt: skip
    status = {"scaling": {"mode": "Auto", "desired": 0, "history": history}}
    scaling = {"minReplicas": least, "maxReplicas": 8}
    assert effective_replicas(parse(service(replicas=1, scaling=scaling, status=status)), 0) == runs


def test_a_recommendation_changes_nothing() -> None:
    assert effective(RECOMMEND, 3, 3, decided=7, mode="Recommend") == 3


def test_scaling_that_was_only_recommended_begins_with_what_runs() -> None:
    assert effective(FROM_2_TO_8, 3, 3, decided=7, mode="Recommend") == 3


def test_scaling_that_is_handed_to_others_leaves_the_number_that_it_wrote() -> None:
    decided = effective(FROM_2_TO_8, 6, 6, decided=6)
    assert effective(None, decided, running=6, decided=6) == effective(RECOMMEND, decided, 6, decided=6) == 6


def test_prometheus_as_the_source_is_refused_where_the_settings_name_none() -> None:
    body = parse(service(scaling={"maxReplicas": 2, "source": "Prometheus"}))
    with pytest.raises(InvalidError, match="source is Prometheus, but the operator's settings name none") as refused:
        resolve(body, SETTINGS)
    assert refused.value.reason == "NoPrometheus"
    named = SETTINGS.model_copy(update={"prometheus": Prometheus(url="http://prometheus.monitoring.svc:9090")})
    assert resolve(body, named).lead.replicas == 1


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe", "../../etc/passwd", "/etc/passwd"])
def test_a_time_zone_that_does_not_exist_is_refused_with_its_place(zone: str) -> None:
    good = {"start": "08:00", "end": "18:00", "timeZone": "Europe/Berlin", "minReplicas": 1}
    body = parse(service(scaling={"maxReplicas": 2, "schedules": [good, {**good, "timeZone": zone}]}))
    with pytest.raises(InvalidError, match=r"spec\.scaling\.schedules\[1\]\.timeZone .* IANA"):
        resolve(body, SETTINGS)
