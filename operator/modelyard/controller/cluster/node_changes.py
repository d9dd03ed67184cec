"""Pure: which changes of a node matter to services that have pods on it, or pods that no node has taken yet.

A kubelet reports to its node every few minutes, and at every image that it pulls; hardly any of that changes what runs
or fits there.
"""

from modelyard.api.service import Object
from modelyard.contract import names


def matters(before: Object, after: Object) -> bool:
    """Whether the change may affect pods on the node, or pods that wait for a node.

    What counts is what the scheduler and the eviction of pods go by: labels (not those by which we mark where models
    lie), taints, unschedulable, capacity and allocatable, the status of each condition, and the start of its deletion.
    """
    return _offered(before) != _offered(after)


def _offered(node: Object) -> Object:
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    labels = metadata.get("labels") or {}
    return {
        "uid": metadata["uid"],
        "deleting": "deletionTimestamp" in metadata,
        "labels": {key: value for key, value in labels.items() if not key.startswith(f"{names.LABEL_MODEL_DOMAIN}/")},
        "unschedulable": bool(spec.get("unschedulable")),
        "taints": {(t.get("key"), t.get("value") or "", t.get("effect")) for t in spec.get("taints") or ()},
        "capacity": status.get("capacity") or {},
        "allocatable": status.get("allocatable") or {},
        "conditions": {c.get("type"): c.get("status") for c in status.get("conditions") or ()},
    }
