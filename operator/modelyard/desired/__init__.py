"""Pure: what should exist for one service, as plain objects.

resolve() answers every question that a spec leaves open, desired() renders the answers: one child kind per file, each
with build(resolved), which gives the service's children of that kind: none, one or several.
"""

from collections.abc import Callable

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.desired import content_pin, deployment, disruption_budget, network_policy, service
from modelyard.desired.resolved import Resolved

CHILDREN: tuple[Callable[[Resolved], list[Object]], ...] = (
    service.build,
    disruption_budget.build,
    network_policy.build,
    content_pin.build,
    deployment.build,
)
"""In the order in which they are applied, that of kinds.OWNED: all that pods need exists before them."""


def desired(resolved: Resolved) -> list[Object]:
    """All children of a service that the cluster can have, in apply order, but the Job that prefetches.

    Never raises: what cannot be rendered is refused by resolve().
    """
    children = (child for build in CHILDREN for child in build(resolved))
    return [child for child in children if kinds.of(child) not in resolved.absent_kinds]
