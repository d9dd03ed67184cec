"""Which changes of a node matter to services that have pods there or pods without a node."""

import copy
from collections.abc import Callable

import pytest

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.controller.cluster.node_changes import matters
from tests.support import factories

READY = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z", "reason": "KubeletReady"}


def node() -> Object:
    body = factories.node(
        spec={"taints": [{"key": "team", "value": "search", "effect": "NoSchedule"}]},
        status={
            "capacity": {"nvidia.com/gpu": "8"},
            "allocatable": {"nvidia.com/gpu": "8"},
            "conditions": [READY],
            "images": [{"names": ["a"]}],
            "volumesInUse": [],
        },
    )
    body["metadata"] |= {"labels": {"rack": "7"}, "annotations": {}}
    return body


def taint(node: Object, **fields: str) -> None:
    node["spec"]["taints"].append({"key": "spot", "effect": "NoExecute"} | fields)


MATTER: dict[str, Callable[[Object], object]] = {
    "a label": lambda node: node["metadata"]["labels"].update(rack="8"),
    "a new label": lambda node: node["metadata"]["labels"].update(zone="a"),
    "a taint": taint,
    "a taint's value": lambda node: node["spec"]["taints"][0].update(value="train"),
    "a taint that goes": lambda node: node["spec"].pop("taints"),
    "a cordon": lambda node: node["spec"].update(unschedulable=True),
    "allocatable": lambda node: node["status"]["allocatable"].update({"nvidia.com/gpu": "7"}),
    "capacity": lambda node: node["status"]["capacity"].update({"example.com/nic": "1"}),
    "ready no longer": lambda node: node["status"].update(conditions=[READY | {"status": "Unknown"}]),
    "under pressure": lambda node: node["status"]["conditions"].append({"type": "DiskPressure", "status": "True"}),
    "being deleted": lambda node: node["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"),
    "made anew": lambda node: node["metadata"].update(uid="another"),
}

DO_NOT_MATTER: dict[str, Callable[[Object], object]] = {
    "nothing": lambda _: None,
    "a heartbeat": lambda node: node["status"].update(
        conditions=[READY | {"lastHeartbeatTime": "2026-01-01T00:05:00Z"}]
    ),
    "an image": lambda node: node["status"]["images"].append({"names": ["b"]}),
    "a volume": lambda node: node["status"]["volumesInUse"].append("pvc"),
    "an annotation": lambda node: node["metadata"]["annotations"].update(note="x"),
    "where a model lies": lambda node: node["metadata"]["labels"].update({f"{names.LABEL_MODEL_DOMAIN}/uid": "a"}),
    "when a taint was added": lambda node: node["spec"]["taints"][0].update(timeAdded="2026-01-01T00:00:00Z"),
    "its version": lambda node: node["metadata"].update(resourceVersion="9"),
    "a cordon that never was": lambda node: node["spec"].update(unschedulable=False),
}


@pytest.mark.parametrize("change", MATTER.values(), ids=MATTER)
def test_what_pods_run_by_or_are_scheduled_by_matters(change: Callable[[Object], object]) -> None:
    after = copy.deepcopy(node())
    change(after)
    assert matters(node(), after)


@pytest.mark.parametrize("change", DO_NOT_MATTER.values(), ids=DO_NOT_MATTER)
def test_what_a_kubelet_reports_all_the_time_does_not_matter(change: Callable[[Object], object]) -> None:
    after = copy.deepcopy(node())
    change(after)
    assert not matters(node(), after)


def test_the_order_of_taints_and_conditions_does_not_matter() -> None:
    before = node()
    taint(before)
    before["status"]["conditions"].append({"type": "DiskPressure", "status": "False"})
    after = copy.deepcopy(before)
    after["spec"]["taints"].reverse()
    after["status"]["conditions"].reverse()
    assert not matters(before, after)


def test_a_node_without_a_status_yet_is_no_trouble() -> None:
    assert not matters(factories.node(), factories.node(spec=None, status=None))
