"""The one place where tests build API objects, as the API server stores them."""

from typing import Any

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Object
from modelyard.contract import names

UID = "uid-of-the-service"


def service(
    *,
    name: str = "smollm",
    namespace: str = "team-a",
    uid: str = UID,
    generation: int = 1,
    resource_version: str = "1",
    annotations: dict[str, str] | None = None,
    status: Object | None = None,
    **spec: Any,
) -> Object:
    """An InferenceService. Keywords beside the named ones are fields of its spec, such as ``replicas=2``."""
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "generation": generation,
        "resourceVersion": resource_version,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    if annotations:
        metadata["annotations"] = annotations
    body: Object = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": metadata,
        "spec": {"model": {"uri": "s3://models/smollm2-135m"}, "replicas": 1, **spec},
    }
    if status is not None:
        body["status"] = status
    return body


def owner_reference(name: str = "smollm", uid: str = UID) -> Object:
    """What ties a child to its service."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def child(
    kind: Kind = kinds.DEPLOYMENT,
    *,
    name: str = "smollm",
    namespace: str = "team-a",
    uid: str = "uid-of-the-child",
    resource_version: str = "1",
    service_label: str | None = "smollm",
    owner_uid: str | None = UID,
    **fields: Any,
) -> Object:
    """An object with our labels that the service owns; without owner where ``owner_uid`` is None."""
    labels = {names.LABEL_APP_MANAGED_BY: names.APPLICATION}
    if service_label is not None:
        labels[names.LABEL_SERVICE] = service_label
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": resource_version,
        "labels": labels,
    }
    if owner_uid is not None:
        metadata["ownerReferences"] = [owner_reference(uid=owner_uid)]
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}


def pod(*, name: str = "smollm-0", uid: str = "uid-of-the-pod", resource_version: str = "1", **fields: Any) -> Object:
    """An engine pod of the service, which its ReplicaSet owns."""
    body = child(kinds.POD, name=name, uid=uid, resource_version=resource_version, owner_uid=None, **fields)
    body["metadata"]["labels"][names.LABEL_APP_COMPONENT] = names.COMPONENT_ENGINE
    return body


def node(*, name: str = "worker", resource_version: str = "1", **fields: Any) -> Object:
    """A node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-of-{name}", "resourceVersion": resource_version},
        **fields,
    }


def csi_node(*drivers: str, name: str = "worker") -> Object:
    """The CSINode of that node: the drivers that have registered with its kubelet."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {"name": name},
        "spec": {"drivers": [{"name": driver, "nodeID": name} for driver in drivers]},
    }


def agent(*, node: str = "worker", ip: str = "10.0.0.9", namespace: str = "modelyard-system", **fields: Any) -> Object:
    """The pod of modelyard-node on that node."""
    labels = {names.LABEL_APP_MANAGED_BY: names.APPLICATION, names.LABEL_APP_COMPONENT: names.COMPONENT_NODE}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"agent-of-{node}",
            "namespace": namespace,
            "uid": f"uid-of-{node}s-agent",
            "labels": labels,
        },
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIP": ip, **fields},
    }


def profile(name: str = "gpu-small", *, resource_version: str = "1", **spec: Any) -> Object:
    """A ServingProfile. Keywords beside the named ones are fields of its spec."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.PROFILE_KIND,
        "metadata": {"name": name, "uid": f"uid-of-{name}", "resourceVersion": resource_version},
        "spec": spec,
    }


def namespace(name: str = "team-a", *, profile: str | None = "gpu-small", resource_version: str = "1") -> Object:
    """A namespace with the label that names its services' profile, or without."""
    labels = {} if profile is None else {names.LABEL_PROFILE: profile}
    metadata = {"name": name, "uid": f"uid-of-{name}", "resourceVersion": resource_version, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
