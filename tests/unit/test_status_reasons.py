"""Every reason has a world in the tables of the tests beside this one."""

from modelyard.api.reasons import FETCH_FAILURES, REFUSALS, WAITS, every_reason
from tests.unit import (
    test_status_engine,
    test_status_fetching,
    test_status_nodes,
    test_status_preparing,
    test_status_refused,
)

STEPS = (test_status_refused, test_status_nodes, test_status_preparing, test_status_fetching, test_status_engine)


def test_every_reason_that_has_a_text_of_its_own_is_seen_in_some_world() -> None:
    seen = {row[1] for step in STEPS for row in (*step.UNDER_WAY.values(), *step.PROBLEMS.values())}
    whole_service = {
        "Accepted", "Ready", "Complete", "RollingOut", "ServingPrevious", "Degraded", "ScaledToZero", "Deleting",
        "Paused", "Cached", "Mounted", "RolloutLacksAccelerators", "AcceptedAsRecorded", "RefreshChangesPods",
        "UpToDate", "Contested",
    }  # fmt: skip
    passed_on = {*REFUSALS, *WAITS, *FETCH_FAILURES}
    assert set(every_reason()) == seen | whole_service | passed_on
