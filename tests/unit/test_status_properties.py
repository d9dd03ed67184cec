"""Whatever the objects look like, a status comes out, and it never claims a model that nobody can ask."""

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.api.conditions import MESSAGE_LENGTH
from modelyard.api.types import InferenceServiceStatus
from modelyard.observe.pods import pod_facts
from tests.support.observed import (
    OLD,
    World,
    a_deployment,
    conditions,
    crashed,
    loading,
    node,
    pod,
    running,
    serving,
)

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.just([]),
    st.just({}),
    st.just([None, 1, {"type": "Ready", "status": "True"}]),
    st.sampled_from(["True", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "Failed", "OOMKilled", "{}"]),
)
PODS = st.sampled_from(
    [
        serving(),
        serving("old", template=OLD),
        loading(),
        pod(),
        pod("fetching", fetch=running(3)),
        pod("refused", refused="0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
        crashed("boom", restarts=9),
    ]
)


def paths(value: Any) -> list[tuple[Any, ...]]:
    """Every place in a nested object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(key, *rest) for key, child in items for rest in [(), *paths(child)]]


@st.composite
def broken(draw: st.DrawFn, objects: st.SearchStrategy[Any]) -> Any:
    """An object of which some places are gone or hold something else."""
    found = copy.deepcopy(draw(objects))
    for _ in range(draw(st.integers(0, 4))):
        *way, last = draw(st.sampled_from(paths(found) or [("metadata",)]))
        parent = found
        for key in way:
            parent = parent[key]
        if isinstance(parent, dict) and draw(st.booleans()):
            parent.pop(last, None)
        else:
            parent[last] = copy.deepcopy(draw(JUNK))
    return found


@settings(deadline=None)
@given(
    pods=st.lists(broken(PODS) | JUNK, max_size=4),
    deployment=broken(st.sampled_from([a_deployment(), a_deployment(2, refusal="exceeded quota: x")])),
    nodes=st.none() | st.lists(broken(st.just(node(gpus=2))) | JUNK, max_size=2),
    stored=broken(st.just(World(crashed("boom")).verdict().status)),
    replicas=st.integers(0, 3),
)
def test_no_object_raises_and_ready_needs_a_ready_pod(
    pods: list[Any], deployment: Any, nodes: list[Any] | None, stored: Any, replicas: int
) -> None:
    world = World(*pods, replicas=replicas, deployment=deployment, nodes=None if nodes is None else tuple(nodes))
    verdict = world.verdict(stored)
    found = conditions(verdict)
    ready = [facts for facts in map(pod_facts, pods) if facts.ready]
    assert verdict.status["readyReplicas"] <= len(ready)
    if not ready:
        assert found["Ready"]["status"] == "False"
    if found["Ready"]["status"] == "True":
        assert verdict.status["readyReplicas"] > 0
    InferenceServiceStatus.model_validate(json.loads(json.dumps(verdict.status)))
    assert not {"Reconciling", "Stalled"} <= set(found)
    assert all(len(condition["message"]) <= MESSAGE_LENGTH for condition in found.values())
    assert all(event.reason for event in verdict.events)


@settings(deadline=None)
@given(st.permutations([serving("a"), loading("b"), pod("c"), crashed("boom", restarts=9), pod("d", fetch=running(3))]))
def test_the_order_of_the_pods_does_not_matter(pods: list[Any]) -> None:
    in_order = World(*sorted(pods, key=lambda p: str(p["metadata"]["name"])), replicas=5)
    assert World(*pods, replicas=5).verdict() == in_order.verdict()


@settings(deadline=None)
@given(broken(PODS))
def test_a_pod_is_ready_only_by_its_own_condition(found: Any) -> None:
    facts = pod_facts(found)
    if facts.ready:
        entries = found["status"]["conditions"]
        assert any(isinstance(c, dict) and c.get("type") == "Ready" and c.get("status") == "True" for c in entries)
        assert facts.live
        assert facts.engine.running
