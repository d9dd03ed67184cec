"""What a service's conditions report together of each world in the tables beside this file; every reason has one."""

from typing import Any, get_args

import pytest

from modelyard.api.reasons import every_reason
from modelyard.contract import fetch_report
from modelyard.contract.errors import Refusal, Wait
from tests.support.observed import World, conditions
from tests.unit import (
    test_status_engine,
    test_status_fetching,
    test_status_nodes,
    test_status_other_containers,
    test_status_preparing,
    test_status_refused,
)

STEPS = (
    test_status_refused,
    test_status_nodes,
    test_status_preparing,
    test_status_other_containers,
    test_status_fetching,
    test_status_engine,
)


def _rows(table: str) -> list[Any]:
    """The rows of that table in every file, each a case by the name that it has there."""
    rows = ((step, name, row) for step in STEPS for name, row in getattr(step, table).items())
    return [pytest.param(*row, id=f"{step.__name__.rpartition('_')[2]}: {name}") for step, name, row in rows]


@pytest.mark.parametrize(("world", "reason", "words"), _rows("UNDER_WAY"))
def test_what_is_under_way_is_named(world: World, reason: str, words: str) -> None:
    found = conditions(world.verdict())
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", reason)
    assert words in found["Ready"]["message"]
    assert (found["Progressing"]["status"], found["Progressing"]["reason"]) == ("True", reason)
    assert found["Reconciling"]["status"] == "True"
    assert "Stalled" not in found


@pytest.mark.parametrize(("world", "reason", "words", "remedy"), _rows("PROBLEMS"))
def test_a_problem_is_named_with_its_cause_and_remedy(world: World, reason: str, words: str, remedy: str) -> None:
    verdict = world.verdict()
    found = conditions(verdict)
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", reason)
    assert words in found["Ready"]["message"]
    assert remedy in found["Ready"]["message"]
    assert (found["Progressing"]["status"], found["Progressing"]["reason"]) == ("False", reason)
    assert found["Stalled"]["reason"] == reason
    assert "Reconciling" not in found
    assert verdict.status["reason"] == reason
    assert [(e.type, e.reason) for e in verdict.events] == [("Warning", reason)]


def test_every_reason_that_has_a_text_of_its_own_is_seen_in_some_world() -> None:
    seen = {row[1] for step in STEPS for row in (*step.UNDER_WAY.values(), *step.PROBLEMS.values())}
    whole_service = {
        "Accepted", "Ready", "Complete", "RollingOut", "ServingPrevious", "Degraded", "ScaledToZero", "Deleting",
        "Paused", "Cached", "Mounted", "RolloutLacksAccelerators", "AcceptedAsRecorded", "RefreshChangesPods",
        "UpToDate", "Contested", "ContentsDiffer",
    }  # fmt: skip
    of_prefetching = {"Prefetching", "Prefetched", "PrefetchLacksNodes", "PrefetchLost"}  # test_prefetch_status.py
    of_scaling = {  # tests/reconcile/test_scaling.py, test_scaling_faults.py
        "Scaling", "Recommending", "AwaitingDecision", "MetricsUnavailable", "ForeignAutoscaler",
    }  # fmt: skip
    passed_on = {*get_args(Refusal), *get_args(Wait), *fetch_report.Reason}
    assert set(every_reason()) == seen | whole_service | of_prefetching | of_scaling | passed_on
