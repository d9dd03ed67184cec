"""What refuses a service further replicas now: pure.

The scheduler and admission decide, so their refusals are the evidence. Why, and who holds the devices, is in the
conditions that the reconcile wrote from the nodes and from all pods.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard.api.conditions import ConditionType, sentence
from modelyard.api.reasons import Reasons
from modelyard.api.service import Object
from modelyard.observe.facts.raw_object import entry, text
from modelyard.observe.facts.service import DeploymentFacts
from modelyard.observe.reasons.scheduling import admission_refusal
from modelyard.scaling.observation import Capacity

EXPLAINED = frozenset(
    row.name
    for row in (
        Reasons.INSUFFICIENT_ACCELERATORS,
        Reasons.ROLLOUT_LACKS_ACCELERATORS,
        Reasons.UNSCHEDULABLE,
        Reasons.VOLUME_CLAIM_MISSING,
        Reasons.VOLUME_CLAIM_UNBOUND,
    )
)
"""Reasons of a condition that explain why no node takes a pod."""


@dataclass(frozen=True)
class Refused:
    """A pod that is not over. It ``counts`` unless it is on its way out; ``refusal`` is the scheduler's message while
    no node takes it.
    """

    counts: bool
    refusal: str


def capacity(
    namespace: str, status: Object, pods: Sequence[Refused], deployments: Iterable[DeploymentFacts]
) -> Capacity | None:
    """How many replicas can run, where the cluster refuses the others; None where it refuses none."""
    refused = [pod.refusal for pod in pods if pod.counts and pod.refusal]
    taken = sum(pod.counts for pod in pods) - len(refused)
    if refused:
        return Capacity(taken, *_why_unscheduled(status, refused[0]))
    wanted = 0
    for deployment in deployments:
        wanted += deployment.replicas
        if deployment.refusal and taken < wanted:
            why = admission_refusal(deployment.refusal, namespace)
            return Capacity(taken, why.reason, why.message)
    return None


def _why_unscheduled(status: Object, refusal: str) -> tuple[str, str]:
    """Reason and message: as the status has them, else from the scheduler's own words."""
    for type_ in (ConditionType.AVAILABLE, ConditionType.PROGRESSING):
        found = entry(status, "conditions", type=str(type_))
        if text(found, "reason") in EXPLAINED:
            return text(found, "reason"), text(found, "message")
    why = Reasons.UNSCHEDULABLE.explain(cause=sentence(refusal), offered="")
    return why.reason, why.message
