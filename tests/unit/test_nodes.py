"""Which nodes a pod may not use, by the scheduler's rules, and what pods take of nodes."""

from typing import Any

import pytest

from modelyard.observe.facts.nodes import exclusions, node_facts, offer, placement, requested
from tests.support.observed import GPU, node, pod

TAINT = "team=search:NoSchedule"


def excluded(one: dict[str, Any], **spec: Any) -> str:
    return exclusions(placement(pod(spec=spec)), [node_facts(one, GPU, None)])


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "team", "operator": "Exists"},
        {"key": "team", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "search"},
        {"key": "team", "value": "search"},
        {"operator": "Exists"},
        {"key": "team", "operator": "Near", "value": "sea"},  # of a later Kubernetes: nothing is claimed
    ],
)
def test_a_tolerated_taint_excludes_nothing(toleration: dict[str, str]) -> None:
    assert excluded(node(taints=(TAINT,)), tolerations=[toleration]) == ""


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "other", "operator": "Exists"},
        {"key": "team", "value": "ads"},
        {"key": "team", "operator": "Exists", "effect": "NoExecute"},
        {"value": "search"},
    ],
)
def test_another_toleration_does_not_help(toleration: dict[str, str]) -> None:
    assert "untolerated taint team=search:NoSchedule" in excluded(node(taints=(TAINT,)), tolerations=[toleration])


def test_a_taint_that_only_prefers_others_excludes_nothing() -> None:
    assert excluded(node(taints=("team=search:PreferNoSchedule",))) == ""


def affinity(*terms: list[dict[str, Any]]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": rules} for rules in terms]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def rule(operator: str, *values: str, key: str = "zone") -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


IN_ZONE_7 = node(labels={"zone": "7"})


@pytest.mark.parametrize(
    "rules",
    [
        [rule("In", "6", "7")],
        [rule("NotIn", "6")],
        [rule("NotIn", "6", key="missing")],
        [rule("Exists")],
        [rule("DoesNotExist", key="missing")],
        [rule("Gt", "6")],
        [rule("Lt", "8")],
        [rule("Near", "8")],
    ],
)
def test_a_label_that_fits_excludes_nothing(rules: list[dict[str, Any]]) -> None:
    assert excluded(IN_ZONE_7, **affinity(rules)) == ""


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([rule("In", "5", "6")], "zone must be 5 or 6, but is 7"),
        ([rule("In", "5", key="rack")], "rack must be 5, but is missing"),
        ([rule("NotIn", "7")], "must not be 7"),
        ([rule("Exists", key="rack")], "must exist"),
        ([rule("DoesNotExist")], "must not exist"),
        ([rule("Gt", "7")], "must be greater than 7"),
        ([rule("Lt", "6")], "must be less than 6"),
        ([rule("Gt", "many")], "must be greater than many"),
        ([rule("In", "7"), rule("In", "5", key="rack")], "label rack"),
    ],
)
def test_a_label_that_does_not_fit_is_named_with_what_the_node_carries(rules: list[dict[str, Any]], words: str) -> None:
    assert words in excluded(IN_ZONE_7, **affinity(rules))


def test_one_term_that_fits_is_enough_and_a_selector_counts_with_each() -> None:
    either = affinity([rule("In", "5")], [rule("In", "7")])
    assert excluded(IN_ZONE_7, **either) == ""
    assert "rack" in excluded(IN_ZONE_7, **either, nodeSelector={"rack": "1"})


def test_many_nodes_are_counted_and_few_are_named() -> None:
    nodes = [node_facts(node(f"worker-{number}", cordoned=True), GPU, None) for number in range(9)]
    text = exclusions(placement(pod()), nodes)
    assert text == "Excluded: 9 nodes (worker-0, worker-1, worker-2, ...): cordoned."


def test_of_many_causes_the_most_common_are_reported() -> None:
    nodes = [node_facts(node(f"worker-{number}", labels={"rack": str(number)}), GPU, None) for number in range(9)]
    text = exclusions(placement(pod(spec={"nodeSelector": {"rack": "9"}})), nodes)
    assert text.count("but is") == 4
    assert text.endswith("; 5 more for other reasons.")


def test_unhealthy_devices_are_reported_beside_what_is_offered() -> None:
    assert offer(GPU, [node_facts(node(gpus=0, unhealthy=2), GPU, None)]) == (
        "1 node offers 0 (at most 0 on one). Unhealthy: 2 on worker-1."
    )


def requesting(count: int, **fields: Any) -> dict[str, Any]:
    return {"resources": {"requests": {GPU: str(count), "cpu": "4"}}, **fields}


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({"containers": [requesting(1), requesting(2)]}, 3),
        ({"containers": [requesting(1)], "initContainers": [requesting(4)]}, 4),
        ({"containers": [requesting(1)], "initContainers": [requesting(4, restartPolicy="Always")]}, 5),
        ({"containers": [{"resources": {"requests": {GPU: "2k"}}}]}, 2000),
        ({"containers": [{"name": "requests nothing"}]}, 0),
        ({"containers": [None, {"resources": {"requests": {GPU: "a lot"}}}]}, 0),
    ],
)
def test_a_pod_takes_what_the_scheduler_counts(spec: dict[str, Any], count: int) -> None:
    found = requested([{"spec": {"nodeName": "worker-1", **spec}}] * 2)
    assert found["worker-1", GPU] == 2 * count
    assert ("worker-1", "cpu") not in found


def test_a_pod_without_a_node_takes_nothing() -> None:
    assert not requested([{"spec": {"containers": [requesting(1)]}}])


@pytest.mark.parametrize(
    ("written", "count"), [("8", 8), (8, 8), ("1k", 1000), ("1e3", 1000), ("2M", 2_000_000), ("a lot", 0), (None, 0)]
)
def test_a_node_offers_its_quantity(written: object, count: int) -> None:
    one = node() | {"status": {"allocatable": {GPU: written}, "capacity": {GPU: written}}}
    facts = node_facts(one, GPU, None)
    assert (facts.offered, facts.present) == (count, count)
