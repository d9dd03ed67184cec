"""Which products a pod may run on: a condition on the nodes' labels that their discovery writes."""

from typing import Any

from modelyard.api.service import Object
from modelyard.desired.resolved import Accelerator
from modelyard.errors import InvalidError

NODE_AFFINITY = "spec.podTemplate.spec.affinity.nodeAffinity"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def require(spec: Object, accelerator: Accelerator) -> None:
    """Add to the pod's ``spec``, in place, that its node must have one of the accelerator's products.

    A user's own terms for nodes stay: a node has to fit one of them, so each of them gets the condition too. Raises
    InvalidError (PodTemplateRefused) where those are no terms.
    """
    if not accelerator.products:
        return
    condition = {"key": accelerator.product_label, "operator": "In", "values": list(accelerator.products)}
    affinity = spec["affinity"] = _copy(spec.get("affinity"), dict)
    nodes = affinity["nodeAffinity"] = _copy(affinity.get("nodeAffinity"), dict)
    required = nodes[REQUIRED] = _copy(nodes.get(REQUIRED), dict)
    terms = [_copy(term, dict) for term in _copy(required.get("nodeSelectorTerms"), list)] or [{}]
    for term in terms:
        term["matchExpressions"] = [*_copy(term.get("matchExpressions"), list), condition]
    required["nodeSelectorTerms"] = terms


def _copy(value: Any, shape: type[Any]) -> Any:
    """A copy of what a user wrote, empty where there is nothing."""
    if not isinstance(value, shape | None):
        raise InvalidError(
            "PodTemplateRefused", f"{NODE_AFFINITY} does not have a pod's form: see kubectl explain pod.spec.affinity."
        )
    return shape(value or ())
