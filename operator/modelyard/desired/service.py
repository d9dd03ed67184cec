"""The Service through which clients reach a model: http://<name>.<namespace>.svc."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.desired import metadata
from modelyard.desired.resolved import Resolved


def build(resolved: Resolved) -> list[Object]:
    """The Service in front of all pods of the service, of whichever pool."""
    users = resolved.service.spec.service
    return [
        metadata.child(
            kinds.SERVICE,
            resolved.lead,
            labels=users.labels,
            annotations=users.annotations,
            content={
                "spec": {
                    "type": "ClusterIP",
                    "selector": metadata.service_selector(resolved.service),
                    "ports": [
                        {"name": port.name, "port": port.service, "targetPort": port.name, "protocol": "TCP"}
                        for port in resolved.lead.engine.ports
                        if port.service is not None
                    ],
                }
            },
        )
    ]
