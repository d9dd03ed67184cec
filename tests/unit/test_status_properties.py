"""Whatever the objects look like, a status comes out, and it never claims a model that no client can query."""

import copy
import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelyard.api.conditions import MESSAGE_LENGTH
from modelyard.api.status import InferenceServiceStatus
from modelyard.contract import names
from modelyard.observe.facts.csi_nodes import Registered, agents, has_driver
from modelyard.observe.facts.pods import pod_facts, with_answers
from modelyard.observe.facts.service import FAILED_CREATIONS, wants_retry
from modelyard.observe.model_status import verified_digests
from modelyard.observe.reasons.csi_driver import nodes_in_doubt
from tests.support.observed import (
    NOW,
    OLD,
    World,
    a_deployment,
    conditions,
    crashed,
    event,
    fetched,
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
PICKY: dict[str, Any] = {
    "nodeSelector": {"zone": "7"},
    "tolerations": [{"key": "team", "operator": "Exists"}],
    "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "rack", "operator": "Gt", "values": ["1"]}]}]
            }
        }
    },
}
PODS = st.sampled_from(
    [
        serving(),
        serving("old", template=OLD),
        loading(),
        pod(),
        pod("fetching", fetch=running(3)),
        pod("refused", refused="0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
        pod("refused-claim", refused='persistentvolumeclaim "models" not found', spec=PICKY),
        crashed("boom", restarts=9),
        serving("fetched", fetch=fetched()),
        serving("other-content", fetch=fetched("sha256:" + "b" * 64, cache_hit=True, fetched_bytes=0)),
        pod(spec={"volumes": [{"name": "cache", "csi": {"driver": names.CSI_DRIVER}}]}),
    ]
)
NODES = st.sampled_from(
    [
        node(gpus=2, taints=("team=search:NoSchedule",), labels={"zone": "7"}),
        node("worker-2", gpus=1, unhealthy=1, cordoned=True),
        node("worker-3", ready=False),
    ]
)
EVENTS = st.sampled_from(
    [
        event("Pulling", "Pulling image"),
        event("FailedMount", 'secret "x" not found'),
        event("FailedMount", f"driver name {names.CSI_DRIVER} not found in the list of registered CSI drivers"),
        event("FailedCreate", "Error creating: exceeded quota: x", about="smollm-5d9f"),
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


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A service of which any object may be broken in any place."""
    events = draw(st.lists(broken(EVENTS) | JUNK, max_size=3))
    nodes = draw(st.none() | st.lists(broken(NODES) | JUNK, max_size=3))
    return World(
        *draw(st.lists(broken(PODS) | JUNK, max_size=4)),
        replicas=draw(st.integers(0, 3)),
        deployment=draw(broken(st.sampled_from([a_deployment(), a_deployment(2, refusal="exceeded quota: x")]))),
        nodes=None if nodes is None else tuple(nodes),
        taken=draw(st.none() | st.just({"worker-1": 1})),
        registered=Registered({"worker-1": draw(st.booleans())}, anywhere=draw(st.none() | st.booleans())),
        events={"uid-of-smollm-1": tuple(events), FAILED_CREATIONS: tuple(events)},
    )


STORED = broken(st.sampled_from([World(crashed("boom")).verdict().status, World(serving()).verdict().status]))


@given(world=worlds(), stored=STORED)
def test_no_object_raises_and_ready_needs_a_ready_pod(world: World, stored: Any) -> None:
    verdict = world.verdict(stored)
    found = conditions(verdict)
    ready = [facts for facts in map(pod_facts, world.pods) if facts.ready]
    assert verdict.status["readyReplicas"] <= len(ready)
    if not ready:
        assert found["Ready"]["status"] == "False"
    if found["Ready"]["status"] == "True":
        assert verdict.status["readyReplicas"] > 0
    InferenceServiceStatus.model_validate(json.loads(json.dumps(verdict.status)))
    assert not {"Reconciling", "Stalled"} <= set(found)
    assert all(len(condition["message"]) <= MESSAGE_LENGTH for condition in found.values())
    assert all(event.reason for event in verdict.events)
    wants_retry(world.deployment, NOW)
    facts = [
        with_answers(pod_facts(pod), None, None, found)
        for pod, found in zip(world.pods, world.events.values(), strict=False)
    ]
    verified_digests(facts)
    nodes_in_doubt(facts)
    agents(world.pods, "modelyard-system")
    assert not any(has_driver(body) for body in world.pods)


@given(world=worlds(), stored=STORED)
def test_a_second_look_at_the_same_world_reports_nothing_new(world: World, stored: Any) -> None:
    first = world.verdict(stored)
    again = world.verdict(first.status, NOW + timedelta(milliseconds=1))
    assert again.events == ()
    assert again.status == first.status


@given(world=worlds(), stored=STORED)
def test_what_does_not_answer_is_looked_at_again_within_half_a_minute(world: World, stored: Any) -> None:
    verdict = world.verdict(stored)
    unready = [facts for facts in map(pod_facts, world.pods) if facts.live and not facts.ready]
    if unready:
        assert verdict.requeue_after_s is not None
        assert verdict.requeue_after_s <= 30


@given(st.permutations([serving("a"), loading("b"), pod("c"), crashed("boom", restarts=9), pod("d", fetch=running(3))]))
def test_the_order_of_the_pods_does_not_matter(pods: list[Any]) -> None:
    in_order = World(*sorted(pods, key=lambda p: str(p["metadata"]["name"])), replicas=5)
    assert World(*pods, replicas=5).verdict() == in_order.verdict()


@given(broken(PODS))
def test_a_pod_is_ready_only_by_its_own_condition(found: Any) -> None:
    facts = pod_facts(found)
    if facts.ready:
        entries = found["status"]["conditions"]
        assert any(isinstance(c, dict) and c.get("type") == "Ready" and c.get("status") == "True" for c in entries)
        assert facts.live
        assert facts.engine.running
