"""Pods that no node takes: what was requested, what the nodes offer, what is free, and what excludes them.

Each cause has an extended resource of its own on the nodes, so that they meet neither each other nor other scenarios.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial

import pytest

from e2e.cluster.images import GPU_WORKER, SPOT_WORKER, reference
from e2e.cluster.kind_cluster import NODES
from e2e.conftest import namespace_for
from e2e.support.causes import NODE_IS_BEHIND, Act, Cause, Took, applies, deletes, record, selected, side_by_side
from e2e.support.kubectl import Kubectl, Object
from e2e.support.objects import pod, run
from e2e.support.services import light

CONTROL_PLANE = NODES[0]


def _offers(node: str, resource: str, count: int) -> Act:
    """Have a node offer so many of an extended resource, as its administrator may."""
    there = {"status": {"capacity": {resource: str(count)}, "allocatable": {resource: str(count)}}}
    patch = f"--patch={json.dumps(there)}"
    return lambda kubectl: kubectl.run("patch", f"node/{node}", "--subresource=status", "--type=merge", patch)


def _on(resource: str, count: int = 1) -> Object:
    return {"type": "nvidia", "resource": resource, "count": count}


def _holder(resource: str, count: int) -> Object:
    """Another team's pod that holds what the service requests."""
    return pod("holder", reference("standin"), command=("sleep", "600"), resources={"limits": {resource: str(count)}})


def _held(node: str, resource: str, *, offered: int, taken: int) -> Act:
    def hold(kubectl: Kubectl) -> None:
        _offers(node, resource, offered)(kubectl)
        run(kubectl, _holder(resource, taken))

    return hold


ABSENT, TAKEN, TAINTED = "example.com/absent", "example.com/taken", "example.com/tainted"

CAUSES = (
    Cause(
        "more GPUs than any node has",
        partial(light, "many", accelerator={"type": "nvidia", "count": 5}),
        "InsufficientAccelerators",
        ("5 nvidia.com/gpu", "offer 8", "at most 4", "spec.accelerator.count"),
        applies(partial(light, "many", accelerator={"type": "nvidia", "count": 1})),
    ),
    Cause(
        "an accelerator that no node has",
        partial(light, "absent", accelerator=_on(ABSENT)),
        "InsufficientAccelerators",
        (f"1 {ABSENT}", f"No node offers {ABSENT}", "device plugin"),
        _offers(GPU_WORKER, ABSENT, 1),
        after_cure=NODE_IS_BEHIND,
    ),
    Cause(
        "accelerators that another pod holds",
        partial(light, "taken", accelerator=_on(TAKEN, 2)),
        "InsufficientAccelerators",
        (f"2 {TAKEN}", "offers 3", "1 is free"),
        deletes("pod/holder"),
        before=_held(SPOT_WORKER, TAKEN, offered=3, taken=2),
        after_cure=NODE_IS_BEHIND,
    ),
    Cause(
        "accelerators on a node whose taint excludes the pod",
        partial(light, "tainted", accelerator=_on(TAINTED)),
        "InsufficientAccelerators",
        (f"1 {TAINTED}", CONTROL_PLANE, "taint node-role.kubernetes.io/control-plane"),
        _offers(GPU_WORKER, TAINTED, 1),
        before=_offers(CONTROL_PLANE, TAINTED, 1),
        after_cure=NODE_IS_BEHIND,
    ),
    Cause(
        "more memory than any node has",
        partial(light, "memory", resources={"requests": {"memory": "2Ti"}}),
        "Unschedulable",
        ("Insufficient memory", "spec.resources"),
        applies(partial(light, "memory")),
    ),
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, cluster: Kubectl) -> Iterator[Mapping[str, Future[Took]]]:
    _offered_by_none(cluster)  # what a former run left
    for namespace in namespace_for(request):
        with side_by_side(namespace, selected(request, CAUSES), at_once=len(CAUSES)) as results:
            yield results


def _offered_by_none(cluster: Kubectl) -> None:
    gone = dict.fromkeys((ABSENT, TAKEN, TAINTED))
    patch = f"--patch={json.dumps({'status': {'capacity': gone, 'allocatable': gone}})}"
    for node in NODES:
        cluster.run("patch", f"node/{node}", "--subresource=status", "--type=merge", patch)


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_a_pod_that_fits_no_node_is_reported_with_what_was_requested_and_what_there_is(
    cause: Cause, played: Mapping[str, Future[Took]], request: pytest.FixtureRequest
) -> None:
    record(played[cause.what].result(), cause, request)
