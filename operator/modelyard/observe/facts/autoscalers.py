"""Autoscalers of others that scale a service too, or its Deployments."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.observe.facts.raw_object import entries, text


@dataclass(frozen=True)
class ForeignAutoscaler:
    """An autoscaler and what it scales, each with its kind and name."""

    autoscaler: str
    target: str
    is_of_deployment: bool


def foreign_autoscalers(
    bodies: Iterable[Object], service: str, deployments: Collection[str], *, is_scaled: bool
) -> tuple[ForeignAutoscaler, ...]:
    """Those of ``bodies`` that scale one of the ``deployments`` of the ``service``, and, if that ``is_scaled`` by us,
    the service itself. Of a ScaledObject and the HorizontalPodAutoscaler that KEDA makes for it, the former.
    """
    found = []
    for body in bodies:
        group, kind, name = _target(body)
        is_of_deployment = (group, kind) == ("apps", "Deployment") and name in deployments
        is_of_service = is_scaled and (group, kind, name) == (names.GROUP, names.KIND, service)
        if not _is_made_by_keda(body) and (is_of_deployment or is_of_service):
            autoscaler = f"{text(body, 'kind')} {text(body, 'metadata', 'name')}"
            found.append(ForeignAutoscaler(autoscaler, f"{kind} {name}", is_of_deployment))
    return tuple(sorted(found, key=lambda each: each.autoscaler))


def _target(autoscaler: Object) -> tuple[str, str, str]:
    """API group, kind and name of what it scales; without these, KEDA scales a Deployment of apps/v1."""
    reference = ("spec", "scaleTargetRef")
    group, _, _ = (text(autoscaler, *reference, "apiVersion") or "apps/v1").rpartition("/")
    return group, text(autoscaler, *reference, "kind") or "Deployment", text(autoscaler, *reference, "name")


def _is_made_by_keda(body: Object) -> bool:
    return any(
        text(owner, "kind") == kinds.SCALED_OBJECT.kind for owner in entries(body, "metadata", "ownerReferences")
    )
