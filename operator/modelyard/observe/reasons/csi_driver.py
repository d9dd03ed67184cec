"""Pods that a node cannot give its cache: the driver is not there, or refuses.

The kubelet's Event reports that a mount failed. Whether the driver runs on that node now is in its CSINode object:
the kubelet lists there what has registered with it.
"""

import re
from collections.abc import Iterable
from datetime import datetime

from modelyard.api.conditions import Explanation, sentence
from modelyard.api.reasons import Reasons
from modelyard.contract import names
from modelyard.observe.facts.csi_nodes import Registered
from modelyard.observe.facts.pods import LONG_AGO, PodFacts, Stage
from modelyard.observe.reasons.kubelet import newest

FRESH_S = 150.0
"""How long a node that just joined may lack the driver before that is a problem: it pulls the agent's image first. The
kubelet then tries again within 122 s (its pkg/util/goroutinemap/exponentialbackoff)."""

REPLACED_S = 20.0
"""How long a pod waits on any other node before that is a problem: an agent that is being replaced is back sooner."""

_NOT_REGISTERED = re.compile(rf"driver name {re.escape(names.CSI_DRIVER)} not found in the list of registered CSI")
_REFUSED = re.compile(
    rf'for volume "{names.VOLUME_CACHE}" ?:.*rpc error: code = FailedPrecondition desc = (.*)', re.DOTALL
)
"""The agent's answer where its node has no cache to give: the text is its own (node/)."""


def nodes_in_doubt(pods: Iterable[PodFacts]) -> frozenset[str]:
    """The nodes whose CSINode is worth reading: their kubelet reported for one of ``pods`` that it has no driver."""
    return frozenset(pod.node for pod in pods if pod.node and _lacks_driver(pod))


def missing(pod: PodFacts, registered: Registered, now: datetime) -> Explanation | None:
    """Why the node of ``pod`` has no cache to give; None when it has, or may have soon, or nothing is known of it."""
    if refused := _REFUSED.search(_failure(pod)):
        return Reasons.NO_NODE_CACHE.explain(node=pod.node, cause=sentence(refused[1]))
    if not _lacks_driver(pod) or registered.nodes.get(pod.node):
        return None
    if registered.anywhere is False:
        cause = f"the CSI driver {names.CSI_DRIVER} is not running on any node"
    elif _is_overdue(pod, registered.joined.get(pod.node), now):
        cause = f"the CSI driver {names.CSI_DRIVER} is not running there"
    else:
        return None
    return Reasons.NO_NODE_CACHE.explain(node=pod.node, cause=cause)


def _is_overdue(pod: PodFacts, joined: datetime | None, now: datetime) -> bool:
    waits_s = (now - (pod.begun or LONG_AGO)).total_seconds()
    node_age_s = waits_s if joined is None else (now - joined).total_seconds()
    return node_age_s >= FRESH_S and waits_s >= REPLACED_S


def awaited(pod: PodFacts, registered: Registered) -> str:
    """What ``pod`` waits for while its node's cache comes up; empty when it does not wait for that."""
    if not _lacks_driver(pod):
        return ""
    if registered.nodes.get(pod.node):
        return "the node's cache has started, and the kubelet retries the mount within 2 minutes"
    return "waiting for the node's cache to start"


def _lacks_driver(pod: PodFacts) -> bool:
    return bool(_NOT_REGISTERED.search(_failure(pod)))


def _failure(pod: PodFacts) -> str:
    """The kubelet's latest error about a volume that it cannot mount, while it still prepares the pod."""
    last = newest(pod) if pod.stage is Stage.PREPARING and pod.uses_node_cache else None
    return last.message if last and last.reason == "FailedMount" else ""
