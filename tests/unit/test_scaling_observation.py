"""What the autoscaler sees of a service: its pods' states, what refuses more of them, and who wakes it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from modelyard.api.conditions import timestamp
from modelyard.api.service import Object, parse
from modelyard.contract import names
from modelyard.controller.autoscaler.deletion_costs import ANNOTATION, cost_changes
from modelyard.controller.autoscaler.observation import NOT_READ, Seen, cold_start, observation
from modelyard.controller.autoscaler.wake import wake_problem, woken
from modelyard.integrations.signals.engine_metrics import EngineSample
from modelyard.observe.facts.pods import pod_facts
from modelyard.scaling.observation import ColdStart, State
from tests.support import factories
from tests.support.observed import (
    NOW,
    a_deployment,
    ago,
    crashed,
    ended,
    loading,
    node,
    pod,
    running,
    serving,
)

SCALING = {"minReplicas": 0, "maxReplicas": 8}
LIMIT_S = 1800
DELETED: Object = {"deletionTimestamp": ago(-50), "deletionGracePeriodSeconds": 60}


def seen(
    *pods: Object,
    nodes: dict[str, Object | None] | None = None,
    deployment: Object | None = None,
    status: Object | None = None,
    **service: Any,
) -> Seen:
    body = factories.service(**{"scaling": SCALING, "status": status or {}, **service})
    return Seen(
        service=parse(body),
        body=body,
        pods=tuple((raw, pod_facts(raw)) for raw in pods),
        deployments=(deployment or a_deployment(len(pods)),),
        nodes={"worker-1": node()} if nodes is None else nodes,
        replicas=len(pods),
        running=len(pods),
        startup_timeout_s=LIMIT_S,
    )


def state(raw: Object, nodes: dict[str, Object | None] | None = None) -> State:
    [replica] = observation(seen(raw, nodes=nodes), {}, NOW).replicas
    return replica.state


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (serving(), State.SERVING),
        (pod(refused="0/3 nodes are available"), State.PENDING),
        (pod(), State.STARTING),
        (pod(fetch=running(20)), State.STARTING),
        (loading(), State.STARTING),
        (loading(started=True), State.STARTING),
        (serving(ready=False, changed_s=5), State.UNREADY),
        (crashed("CUDA error"), State.UNREADY),
        (loading(engine_last=ended(1), restarts=1), State.UNREADY),
        (pod(fetch=running(5), fetch_last=ended(1)), State.UNREADY),
        (serving(engine_last=ended(1, ran_s=20, since_s=20), engine=running(15), changed_s=1), State.UNREADY),
        (serving(**DELETED), State.LEAVING),
        (pod(refused="0/3 nodes are available", **DELETED), State.LEAVING),
    ],
)
def test_the_state_of_a_pod(raw: Object, expected: State) -> None:
    assert state(raw) is expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (loading(engine=running(LIMIT_S - 1), begun_s=9000, changed_s=9000), State.STARTING),
        (loading(engine=running(LIMIT_S + 1), begun_s=9000, changed_s=9000), State.UNREADY),
        (pod(fetch=running(3000), begun_s=3000), State.STARTING),
        (pod(fetch=running(3700), begun_s=3700), State.UNREADY),
    ],
)
def test_a_start_expires(raw: Object, expected: State) -> None:
    assert state(raw) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (node(), State.SERVING),
        (node(cordoned=True), State.SERVING),
        (node(ready=False), State.UNREADY),
        (node(taints=("karpenter.sh/disrupted:NoSchedule",)), State.LEAVING),
        (node(taints=("ToBeDeletedByClusterAutoscaler=1:NoSchedule",)), State.LEAVING),
        (node() | {"metadata": {"name": "worker-1", "deletionTimestamp": ago(1)}}, State.LEAVING),
        (None, State.LEAVING),
    ],
)
def test_a_node_that_goes_away_takes_its_pods_along(host: Object | None, expected: State) -> None:
    assert state(serving(), {"worker-1": host}) is expected


def test_where_nodes_are_not_visible_pods_stay() -> None:
    assert state(serving(), {}) is State.SERVING


def test_pods_that_are_over_are_no_replicas() -> None:
    over = [pod(phase=phase) for phase in ("Failed", "Succeeded")]
    assert observation(seen(*over), {}, NOW).replicas == ()


def test_since_when_a_pod_leaves_is_its_deletions_time() -> None:
    [replica] = observation(seen(serving(**DELETED)), {}, NOW).replicas
    assert replica.since_s == (NOW - timedelta(seconds=10)).timestamp()


def test_a_pod_has_its_own_sample_and_one_that_was_not_read_is_unknown() -> None:
    sample = EngineSample(NOW.timestamp(), waiting=3.0)
    look = observation(seen(serving("a"), serving("b")), {"uid-of-a": sample}, NOW)
    assert [replica.sample for replica in look.replicas] == [sample, NOT_READ]


def test_pods_that_no_node_takes_limit_what_is_achievable_in_the_statuss_words() -> None:
    refused = pod("c", refused="0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")
    held = {"type": "Available", "reason": "InsufficientAccelerators", "message": "No node has 1 nvidia.com/gpu free."}
    leaving = serving("d", **DELETED)
    look = observation(
        seen(serving("a"), loading("b"), refused, refused, leaving, status={"conditions": [held]}), {}, NOW
    )
    assert look.capacity is not None
    assert (look.capacity.achievable, look.capacity.reason) == (2, "InsufficientAccelerators")
    assert look.capacity.message == "No node has 1 nvidia.com/gpu free."


def test_before_the_status_has_it_the_schedulers_own_words_count() -> None:
    look = observation(seen(serving("a"), pod("b", refused="0/2 nodes are available: 2 Too many pods.")), {}, NOW)
    assert look.capacity is not None
    assert (look.capacity.achievable, look.capacity.reason) == (1, "Unschedulable")
    assert "2 Too many pods" in look.capacity.message


def test_a_quota_limits_what_is_achievable() -> None:
    deployment = a_deployment(3, refusal='pods "x" is forbidden: exceeded quota: gpus')
    look = observation(seen(serving("a"), deployment=deployment), {}, NOW)
    assert look.capacity is not None
    assert (look.capacity.achievable, look.capacity.reason) == (1, "QuotaExceeded")


def test_a_refusal_of_the_past_limits_nothing_once_all_pods_exist() -> None:
    deployment = a_deployment(1, refusal='pods "x" is forbidden: exceeded quota: gpus')
    assert observation(seen(serving("a"), deployment=deployment), {}, NOW).capacity is None


def test_pods_that_wait_for_the_scheduler_limit_nothing() -> None:
    fresh = pod("b")
    del fresh["spec"]["nodeName"]
    fresh["status"]["conditions"] = []
    assert observation(seen(serving("a"), fresh), {}, NOW).capacity is None


STARTUP = {"readyAt": ago(60), "prepareSeconds": 20, "fetchSeconds": 5, "loadSeconds": 45}
FETCHES = [
    {"name": "a", "result": "Hit", "seconds": 500, "fetchedBytes": 0},
    {"name": "b", "result": "Fetched", "seconds": 90, "fetchedBytes": 1},
]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, None),
        ({"startup": STARTUP}, ColdStart(70, 70)),
        ({"startup": STARTUP, "model": {"nodes": FETCHES}}, ColdStart(70, 155)),
        ({"startup": {"readyAt": "x"}}, None),
    ],
)
def test_a_cold_start_takes_what_the_last_one_did_and_at_most_a_whole_fetch(
    status: Object, expected: ColdStart | None
) -> None:
    assert cold_start(status) == expected


AT_ZERO = {"scaling": {"mode": "Auto", "desired": 0}}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({}, None),
        ({"annotations": {names.ANNOTATION_WAKE: ago(30)}}, NOW - timedelta(seconds=30)),
        ({"annotations": {names.ANNOTATION_WAKE: ago(-60)}}, NOW),
        ({"annotations": {names.ANNOTATION_WAKE: ago(-3600)}}, None),
        ({"annotations": {names.ANNOTATION_WAKE: "please"}}, None),
        ({"status": AT_ZERO, "replicas": 0}, None),
        ({"status": AT_ZERO, "replicas": 1}, NOW),
        ({"status": {"scaling": {"mode": "Auto", "desired": 1}}, "replicas": 2}, None),
    ],
)
def test_who_wakes_a_service(service: dict[str, Any], expected: datetime | None) -> None:
    body = factories.service(scaling=SCALING, **service)
    assert woken(parse(body), body, NOW) == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("now", "now, is no time"),
        ("true", "true, is no time"),
        ("2026-13-01", "2026-13-01, is no time"),
        ("2031-01-01T00:00:00Z", "2031-01-01T00:00:00Z, is in the future"),
        (timestamp(NOW + timedelta(minutes=6)), "is in the future"),
        (timestamp(NOW + timedelta(minutes=4)), ""),
        (timestamp(NOW), ""),
        ("", ""),
    ],
)
def test_a_wake_that_is_no_time_of_now_wakes_nothing_and_is_named(value: str, why: str) -> None:
    body = factories.service(scaling=SCALING)
    body["metadata"]["annotations"] = {names.ANNOTATION_WAKE: value} if value else {}
    problem = wake_problem(body, NOW)
    assert why in problem
    assert bool(problem) == bool(why)
    assert (woken(parse(body), body, NOW) is None) == bool(problem or not value)


@pytest.mark.parametrize(
    ("present", "removed", "costs"),
    [
        ({}, 0, {}),
        ({}, 2, {"c": "-2000000002", "a": "-2000000001"}),
        ({"b": "-2000000001"}, 1, {"c": "-2000000001", "b": "0"}),
        ({"c": "-2000000001"}, 1, {}),
        ({"c": "-2000000001"}, 0, {"c": "0"}),
        ({"b": "100", "c": "100"}, 1, {}),
        ({"b": "-5", "c": "-5"}, 1, {}),
        ({"c": "cheap"}, 1, {}),
    ],
)
def test_the_idlest_pods_cost_least(present: dict[str, str], removed: int, costs: dict[str, str]) -> None:
    pods = [serving(name, annotations={ANNOTATION: present[name]} if name in present else {}) for name in "abc"]
    found = cost_changes([(raw, pod_facts(raw)) for raw in pods], ("c", "a", "b"), removed)
    assert {name: cost for name, (_, cost) in found.items()} == costs


@pytest.mark.parametrize(
    ("raw", "ago_s"),
    [
        (loading(engine=running(5), engine_last=ended(1, since_s=20), restarts=1, begun_s=900, changed_s=900), 20),
        (loading(engine=running(LIMIT_S + 40), begun_s=9000, changed_s=9000), 40),
        (serving(ready=False, changed_s=7), 7),
    ],
    ids=["crashed once", "too late", "was ready"],
)
def test_since_when_a_replica_is_unready(raw: Object, ago_s: float) -> None:
    [replica] = observation(seen(raw), {}, NOW).replicas
    assert (replica.state, NOW.timestamp() - replica.since_s) == (State.UNREADY, ago_s)
