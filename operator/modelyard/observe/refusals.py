"""Pods that nobody takes: what the API server and the scheduler say, told apart."""

import re

from modelyard.api.conditions import Explanation, Reason, Reasons, sentence
from modelyard.observe.children import NodeFacts
from modelyard.observe.wanted import Wanted

_ADMISSION: tuple[tuple[Reason, str], ...] = (
    (Reasons.QUOTA_EXCEEDED, r"exceeded quota:|failed quota:|insufficient quota"),
    (Reasons.POD_SECURITY_REFUSED, r"violates PodSecurity"),
    (Reasons.SERVICE_ACCOUNT_MISSING, r"error looking up service account|serviceaccount \S+ not found"),
)
"""Texts of Kubernetes' own admission plugins (ResourceQuota, PodSecurity, ServiceAccount)."""

_AFTERTHOUGHT = re.compile(r" (no new claims to deallocate, )?preemption:.*", re.DOTALL)
"""What the scheduler adds on evicting others, since Kubernetes 1.34 with the answer of its plugin for device claims."""


def admission_refusal(message: str, namespace: str) -> Explanation:
    """Why no pod could be created, from a Deployment's ReplicaFailure condition."""
    reason = next((r for r, pattern in _ADMISSION if re.search(pattern, message)), Reasons.ADMISSION_REFUSED)
    cause = re.sub(r"^pods (is|are) forbidden: ", "", sentence(message))
    return reason.explain(cause=cause, namespace=namespace)


def scheduling_refusal(
    message: str, wanted: Wanted | None, nodes: tuple[NodeFacts, ...] | None, *, beside_old_pods: bool
) -> Explanation:
    """Why no node takes a pod, from its PodScheduled condition, and what the ``nodes`` offer where that is known."""
    cause = sentence(_AFTERTHOUGHT.sub("", message))
    resource = wanted.accelerator_resource if wanted else None
    if not wanted or not resource or f"Insufficient {resource}" not in message:
        return Reasons.UNSCHEDULABLE.explain(cause=cause)
    row = Reasons.ROLLOUT_LACKS_ACCELERATORS if beside_old_pods else Reasons.INSUFFICIENT_ACCELERATORS
    return row.explain(asked=f"{wanted.accelerator_count} {resource}", offered=_offer(resource, nodes), cause=cause)


def _offer(resource: str, nodes: tuple[NodeFacts, ...] | None) -> str:
    """What there is, as a sentence with a blank after it; empty when nodes were not looked at."""
    if nodes is None:
        return ""
    offered = [node.offered for node in nodes if node.offered > 0]
    if not offered:
        return f"No node offers any {resource} (do the device plugin and the driver run?). "
    free = [max(0, node.offered - node.taken) for node in nodes if node.offered > 0 and node.taken is not None]
    there = f"The nodes offer {sum(offered)} ({len(offered)} with at most {max(offered)})"
    return f"{there}, of which {sum(free)} are free (at most {max(free)} on one). " if free else f"{there}. "
