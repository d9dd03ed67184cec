"""Who wrote a field, from an object's managedFields as the API server keeps them (Kubernetes' page "Server-Side
Apply"): pure.
"""

import json

from modelyard.api.inference_service import InferenceServiceSpec
from modelyard.api.service import Object
from modelyard.observe.facts.raw_object import at, entries, number, text

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The file of the last client-side apply, which kubectl keeps."""

CLIENT_SIDE = frozenset({"kubectl-client-side-apply", "argocd-controller"})
"""Field managers that apply files from the client's side."""

DEFAULT_REPLICAS = InferenceServiceSpec.model_fields["replicas"].default


def replicas_writer(body: Object) -> str:
    """The field manager that wrote spec.replicas last; empty where none has, as of a default."""
    return text(_last_writer(body), "manager")


def has_default_replicas(body: Object) -> bool:
    """Whether spec.replicas has its default because nobody wrote a number.

    An apply from the client's side that drops the line counts as the writer of the default that it leaves. Its file,
    which an annotation holds, shows that there is no line.
    """
    if number(body, "spec", "replicas") != DEFAULT_REPLICAS:
        return False
    last = _last_writer(body)
    if not last:
        return True
    is_client_side = text(last, "manager") in CLIENT_SIDE and text(last, "operation") == "Update"
    return is_client_side and not text(last, "subresource") and not _applied_replicas(body)


def _last_writer(body: Object) -> Object:
    """The entry of managedFields that is of the last writer of spec.replicas; empty for none."""
    owners = (
        entry
        for entry in entries(body, "metadata", "managedFields")
        if at(entry, "fieldsV1", "f:spec", "f:replicas") is not None
    )
    return max(owners, key=lambda entry: text(entry, "time"), default={})


def _applied_replicas(body: Object) -> bool:
    """Whether the last file that was applied from the client's side has spec.replicas, as far as is known."""
    try:
        applied = json.loads(text(body, "metadata", "annotations", LAST_APPLIED))
    except ValueError:
        return True
    return at(applied, "spec", "replicas") is not None
