"""Who owns an existing object with the name of a child: pure."""

from enum import Enum

from modelyard.api.service import Object
from modelyard.contract import names


class Ownership(Enum):
    """What an existing object is to the service whose child has its name."""

    OURS = "its child"
    ORPHAN = (
        "carries its labels and has no owner, as a backup restores it or `kubectl delete --cascade=orphan` leaves it"
    )
    PREVIOUS = "child of a deleted service of the same name; the garbage collector is about to remove it"
    FOREIGN = "owned by something else"


def ownership(existing: Object, service_name: str, service_uid: str) -> Ownership:
    """What ``existing`` is to the service of that name and uid."""
    metadata = existing["metadata"]
    owners = metadata.get("ownerReferences") or []
    if any(owner.get("uid") == service_uid for owner in owners):
        return Ownership.OURS
    if any(_is_service_named(owner, service_name) for owner in owners):
        return Ownership.PREVIOUS
    labels = metadata.get("labels") or {}
    labelled = (labels.get(names.LABEL_APP_MANAGED_BY), labels.get(names.LABEL_SERVICE))
    if not owners and labelled == (names.APPLICATION, service_name):
        return Ownership.ORPHAN
    return Ownership.FOREIGN


def _is_service_named(owner: Object, name: str) -> bool:
    group = str(owner.get("apiVersion", "")).split("/", 1)[0]
    return (group, owner.get("kind"), owner.get("name")) == (names.GROUP, names.KIND, name)
