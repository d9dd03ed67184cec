"""Which pods a ReplicaSet deletes first: pure.

It deletes pods without a node first, then pending ones, then those that are not ready, and of the others those with the
lowest controller.kubernetes.io/pod-deletion-cost (Kubernetes' page "ReplicaSet").
"""

from collections.abc import Iterable, Mapping, Sequence

from modelyard.api.service import Object
from modelyard.observe.facts.pods import PodFacts
from modelyard.observe.facts.raw_object import text

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
NONE = "0"
"""The cost of a pod that has no such annotation."""

LOWEST = -2_000_000_000
"""Costs that we write are a little below this, where the range of 32 bits has room: users' own stay apart from them."""


def cost_changes(
    pods: Iterable[tuple[Object, PodFacts]], idlest: Sequence[str], removed: int
) -> Mapping[str, tuple[PodFacts, str]]:
    """The costs to write, by pod name, before ``removed`` replicas go, so that the idlest go first. One that was chosen
    before and is not now has its cost removed. A user's own stays.
    """
    chosen = {name: str(LOWEST + index - removed) for index, name in enumerate(idlest[:removed])}
    changes = {}
    for raw, pod in pods:
        present = text(raw, "metadata", "annotations", ANNOTATION) or NONE
        wanted = chosen.get(pod.name, NONE)
        if pod.live and (present == NONE or _is_ours(present)) and wanted != present:
            changes[pod.name] = (pod, wanted)
    return changes


def _is_ours(cost: str) -> bool:
    return cost.removeprefix("-").isdecimal() and int(cost) < LOWEST
