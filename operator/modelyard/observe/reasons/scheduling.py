"""Pods that cannot be created or scheduled: the messages of the API server and the scheduler, classified."""

import re

from modelyard.api.conditions import Explanation, Reason, sentence
from modelyard.api.reasons import Reasons
from modelyard.api.service import Key
from modelyard.observe.facts.device_holders import Holder, held_by
from modelyard.observe.facts.nodes import NodeFacts, exclusions, offer
from modelyard.observe.facts.pods import PodFacts
from modelyard.observe.target import Target

_ADMISSION: tuple[tuple[Reason, str], ...] = (
    (Reasons.QUOTA_EXCEEDED, r"exceeded quota:|failed quota:|insufficient quota"),
    (Reasons.POD_SECURITY_REFUSED, r"violates PodSecurity"),
    (Reasons.SERVICE_ACCOUNT_MISSING, r"error looking up service account|serviceaccount \S+ not found"),
)
"""Texts of Kubernetes' own admission plugins (ResourceQuota, PodSecurity, ServiceAccount)."""

_CLAIMS: tuple[tuple[Reason, str], ...] = (
    (Reasons.VOLUME_CLAIM_MISSING, r'persistentvolumeclaim "[^"]*" not found|could not find v1.PersistentVolumeClaim'),
    (Reasons.VOLUME_CLAIM_UNBOUND, r"unbound immediate PersistentVolumeClaims|find available persistent volumes"),
    (Reasons.VOLUME_CLAIM_UNBOUND, r"bound to non-existent persistentvolume|binding volumes|claim .* is being deleted"),
)
"""Texts of the scheduler's VolumeBinding plugin."""

_AFTERTHOUGHT = re.compile(r" (no new claims to deallocate, )?preemption:.*|(?<=\.) not found\.?$", re.DOTALL)
"""What the scheduler adds on evicting others, since Kubernetes 1.34 with the answer of its plugin for device claims; of
a claim it adds only "not found"."""


def admission_refusal(message: str, namespace: str) -> Explanation:
    """Why no pod could be created, from a Deployment's ReplicaFailure condition."""
    reason = next((r for r, pattern in _ADMISSION if re.search(pattern, message)), Reasons.ADMISSION_REFUSED)
    cause = re.sub(r"^pods (is|are) forbidden: ", "", sentence(message))
    return reason.explain(cause=cause, namespace=namespace)


def scheduling_refusal(
    pod: PodFacts,
    key: Key,
    target: Target | None,
    nodes: tuple[NodeFacts, ...] | None,
    holders: tuple[Holder, ...] = (),
    *,
    beside_old_pods: bool,
) -> Explanation:
    """Why no node takes ``pod``: the scheduler's message, what the ``nodes`` offer and who holds that, and what keeps
    the pod off them.
    """
    cause = sentence(_AFTERTHOUGHT.sub("", pod.refused))
    if claim := next((r for r, pattern in _CLAIMS if re.search(pattern, pod.refused)), None):
        return claim.explain(cause=cause, namespace=key.namespace)
    resource = target.devices.resource if target else None
    offered = _offered(pod, resource, nodes or ()) if nodes else ""
    if not target or not resource or f"Insufficient {resource}" not in pod.refused:
        return Reasons.UNSCHEDULABLE.explain(cause=cause, offered=offered)
    offered = f"{offered} {held_by(holders)}".strip()
    row = Reasons.ROLLOUT_LACKS_ACCELERATORS if beside_old_pods else Reasons.INSUFFICIENT_ACCELERATORS
    return row.explain(request=f"{target.devices.count} {resource}", offered=offered, cause=cause)


def _offered(pod: PodFacts, resource: str | None, nodes: tuple[NodeFacts, ...]) -> str:
    """What nodes offer, for pods with accelerators without the nodes that have none."""
    if resource is None:
        return exclusions(pod.placement, nodes)
    return f"{offer(resource, nodes)} {exclusions(pod.placement, (node for node in nodes if node.present))}"
