"""The PodDisruptionBudget: a node that is drained takes one replica of a service at a time."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.desired import metadata
from modelyard.desired.resolved import Resolved


def build(resolved: Resolved) -> list[Object]:
    """The budget over all pods of the service.

    maxUnavailable and never minAvailable, which blocks every drain at one replica; and pods that are not healthy may
    always go, since a pod that cannot start would block a drain for ever.
    """
    return [
        metadata.child(
            kinds.POD_DISRUPTION_BUDGET,
            resolved.lead,
            content={
                "spec": {
                    "maxUnavailable": 1,
                    # Explicitly null: the API server would refuse our field beside one that a person set.
                    "minAvailable": None,
                    "unhealthyPodEvictionPolicy": "AlwaysAllow",
                    "selector": {"matchLabels": metadata.service_selector(resolved.service)},
                }
            },
        )
    ]
