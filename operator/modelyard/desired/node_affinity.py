"""Conditions on the nodes that a pod may run on, beside those that a user wrote."""

from typing import Any

from modelyard.api.service import Object
from modelyard.contract.errors import InvalidError

NODE_AFFINITY = "spec.podTemplate.spec.affinity.nodeAffinity"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

WEIGHT = 50
"""In the middle of what Kubernetes allows (1 to 100): a user's own preferences can weigh more or less than ours."""


def required(spec: Object) -> Object:
    """What the pod's ``spec`` requires of its node, empty without any. Raises InvalidError as ``require``."""
    affinity: Object = _copy(spec.get("affinity"), dict)
    nodes: Object = _copy(affinity.get("nodeAffinity"), dict)
    found: Object = _copy(nodes.get(REQUIRED), dict)
    return found


def require(spec: Object, condition: Object) -> None:
    """Add to the pod's ``spec``, in place, that its node must meet ``condition``, an expression over labels.

    A user's own terms for nodes stay: a node has to fit one of them, so each of them gets the condition too. Raises
    InvalidError (PodTemplateRefused) where those are no terms.
    """
    affinity = spec["affinity"] = _copy(spec.get("affinity"), dict)
    nodes = affinity["nodeAffinity"] = _copy(affinity.get("nodeAffinity"), dict)
    terms = [_copy(term, dict) for term in _copy(required(spec).get("nodeSelectorTerms"), list)] or [{}]
    for term in terms:
        term["matchExpressions"] = [*_copy(term.get("matchExpressions"), list), condition]
    nodes[REQUIRED] = {**required(spec), "nodeSelectorTerms": terms}


def prefer(spec: Object, condition: Object) -> None:
    """Add to the pod's ``spec``, in place, that a node that meets ``condition`` is preferred. A user's own
    preferences stay.

    Raises InvalidError as ``require``.
    """
    affinity = spec["affinity"] = _copy(spec.get("affinity"), dict)
    nodes = affinity["nodeAffinity"] = _copy(affinity.get("nodeAffinity"), dict)
    wish = {"weight": WEIGHT, "preference": {"matchExpressions": [condition]}}
    nodes[PREFERRED] = [*_copy(nodes.get(PREFERRED), list), wish]


def _copy(value: Any, shape: type[Any]) -> Any:
    """A copy of what a user wrote, empty where there is nothing."""
    if not isinstance(value, shape | None):
        raise InvalidError(
            "PodTemplateRefused", f"{NODE_AFFINITY} is malformed: see kubectl explain pod.spec.affinity."
        )
    return shape(value or ())
