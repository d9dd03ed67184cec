"""InferenceServices as a user of the local cluster would write them."""

from typing import Any

from e2e.cluster.images import reference
from e2e.support.kubectl import Kubectl, Object, condition
from modelyard.contract import names

S3_ENDPOINT = "http://s3.storage.svc:8333"
TINY_MODEL_URI = "s3://models/tiny"
SEAT = "example.com/seat"
"""An extended resource of which both workers have plenty (conftest.py)."""


def service(name: str, *, engine: Object | None = None, **spec: Any) -> Object:
    """A service of the tiny model, for the stand-in engine on CPU; ``spec`` replaces whole fields."""
    fields: Object = {
        "model": {
            "uri": TINY_MODEL_URI,
            "credentials": {"secretName": "s3-read"},
            "s3": {"endpoint": S3_ENDPOINT},
        },
        "engine": engine or {},
        "accelerator": {"type": "cpu"},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "drain": {"timeoutSeconds": 5},
    }
    return {
        "apiVersion": "serving.modelyard.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": fields | spec,
    }


def light(name: str, *, engine: Object | None = None, **spec: Any) -> Object:
    """A service of the stand-in engine that may run on both workers, many beside each other: it takes no GPU but a
    seat, and tolerates what a service on GPUs does.
    """
    image = {"image": reference("standin"), "version": "0.32.0"}
    seat = {"type": "nvidia", "resource": SEAT}
    return service(name, engine=image | (engine or {}), **({"accelerator": seat} | spec))


def pods_of(kubectl: Kubectl, name: str) -> list[Object]:
    """The service's serving pods, without those that are on their way out."""
    engines = f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_ENGINE}"
    pods = kubectl.list("pods", f"serving.modelyard.dev/service={name},{engines}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def all_observed(kubectl: Kubectl) -> bool:
    """Whether the status of every service in the namespace is of the service's present generation."""
    return all(
        (each.get("status") or {}).get("observedGeneration") == each["metadata"]["generation"]
        for each in kubectl.list("infsvc")
    )


def accepted_reason(kubectl: Kubectl, name: str) -> str:
    """The reason of the service's condition Accepted; empty before there is one."""
    accepted = condition(kubectl.get("infsvc", name), "Accepted")
    return str(accepted["reason"]) if accepted else ""
