"""Who holds accelerators, from the pods of a whole cluster."""

import pytest

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.observe.facts.device_holders import Holder, held_by, holders, holdings

GPU = "nvidia.com/gpu"


def pod(namespace: str, name: str, gpus: int, *, owner: tuple[str, str] | None = None, **metadata: object) -> Object:
    references = [{"kind": owner[0], "name": owner[1]}] if owner else []
    return {
        "metadata": {"namespace": namespace, "name": name, "ownerReferences": references, **metadata},
        "spec": {"nodeName": "a", "containers": [{"resources": {"requests": {GPU: gpus, "cpu": "1"}}}]},
    }


def test_pods_of_one_workload_are_one_holder_and_those_that_terminate_still_hold() -> None:
    labels = {names.LABEL_SERVICE: "llama"}
    found = holdings(
        [
            pod("team-a", "llama-1", 1, labels=labels),
            pod("team-a", "llama-2", 1, labels=labels, deletionTimestamp="2026-11-01T12:00:00Z"),
            pod("team-b", "train-7c5d-x", 2, owner=("ReplicaSet", "train-7c5d")),
            pod("team-b", "notebook-0", 1, owner=("StatefulSet", "notebook-gpu")),
            pod("team-c", "alone", 1),
            pod("team-c", "cpu-only", 0),
        ]
    )
    assert holders(found, GPU) == (
        Holder("team-a/llama", 2, 1),
        Holder("team-b/train", 2),
        Holder("team-b/notebook-gpu", 1),
        Holder("team-c/alone", 1),
    )
    assert holders(found, "amd.com/gpu") == ()


def test_a_pod_without_a_node_holds_nothing() -> None:
    pending = pod("team-a", "a", 1)
    del pending["spec"]["nodeName"]
    assert holders(holdings([pending]), GPU) == ()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((), ""),
        ((Holder("a/x", 2),), "Held by a/x (2)."),
        ((Holder("a/x", 1, 1), Holder("b/y", 3, 1)), "Held by a/x (1, terminating), b/y (3, 1 of them terminating)."),
        (tuple(Holder(f"a/{name}", 1) for name in "vwxyz"), "Held by a/v (1), a/w (1), a/x (1) and 2 more."),
    ],
)
def test_holders_in_words(found: tuple[Holder, ...], words: str) -> None:
    assert held_by(found) == words
