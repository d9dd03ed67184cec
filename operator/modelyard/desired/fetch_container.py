"""The init container that brings the model: how it is told what to fetch, and where it tells how far it is."""

from modelyard import names
from modelyard.api.service import Object
from modelyard.desired.resolved import Resolved
from modelyard.pod_parts import PodParts

POD_UID: Object = {"name": names.ENV_POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
"""Names the pod's link in the cache. Only a variable of the same container can be part of a subPathExpr."""


def build(resolved: Resolved, security: Object) -> tuple[Object, PodParts]:
    """The container, and the source's parts whose volumes the pod must have."""
    model = resolved.service.spec.model
    source = resolved.source.parts(model)
    revision = [{"name": names.ENV_MODEL_REVISION, "value": model.revision}] if model.revision else []
    container = {
        "name": names.CONTAINER_FETCH,
        "image": resolved.inputs.fetch_image,
        "env": [POD_UID, {"name": names.ENV_MODEL_URI, "value": model.uri}, *revision, *source.env],
        "ports": [{"name": names.PORT_FETCH_STATE, "containerPort": names.FETCH_STATE_PORT, "protocol": "TCP"}],
        "volumeMounts": [
            {"name": names.VOLUME_CACHE, "mountPath": names.PATH_CACHE},
            {"name": names.VOLUME_LAUNCHER, "mountPath": names.PATH_LAUNCHER_FOLDER},
            {"name": names.VOLUME_TMP, "mountPath": names.PATH_TMP},
            *source.mounts,
        ],
        "resources": {
            name: amounts for name, amounts in resolved.inputs.fetch_resources.model_dump().items() if amounts
        },
        "securityContext": security,
        "terminationMessagePolicy": "File",
    }
    return container, source
