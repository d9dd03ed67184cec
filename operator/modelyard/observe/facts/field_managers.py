"""Who wrote a field, from an object's managedFields as the API server keeps them (Kubernetes' page "Server-Side
Apply"): pure.
"""

from modelyard.api.service import Object
from modelyard.observe.facts.raw_object import at, entries, text


def replicas_writer(body: Object) -> str:
    """The field manager that wrote spec.replicas last; empty where none has, as of a default."""
    owners = (
        entry
        for entry in entries(body, "metadata", "managedFields")
        if at(entry, "fieldsV1", "f:spec", "f:replicas") is not None
    )
    last = max(owners, key=lambda entry: text(entry, "time"), default=None)
    return text(last, "manager")
