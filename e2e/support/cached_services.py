"""Services whose model lies in a store of their namespace's own, for scenarios of the node cache."""

from pathlib import Path
from typing import Any

from e2e.images.standin.tiny_model import write_tiny_model
from e2e.support import store
from e2e.support.kubectl import Kubectl, Object
from e2e.support.node_cache import fetch_of
from e2e.support.services import light, pods_of

READY_S = 240
"""Longest time until a stand-in pod is ready on a busy machine with two cores."""


def tiny_files(folder: Path, *, weights_seed: int = 0) -> dict[str, bytes]:
    """The tiny model's files; another seed gives other content of the same sizes."""
    return {file.name: file.read_bytes() for file in write_tiny_model(folder, weights_seed=weights_seed).iterdir()}


def cached(
    name: str,
    *,
    folder: str = "tiny",
    endpoint: str = store.HTTP_URL,
    keys: str = store.SECRET,
    node: str | None = None,
    model: Object | None = None,
    **spec: Any,
) -> Object:
    """A light service of the model in that folder of the bucket `models`, on that node; ``model`` has more of its
    fields, ``spec`` of the service's.
    """
    source = {
        "uri": f"s3://models/{folder}",
        "credentials": {"secretName": keys},
        "s3": {"endpoint": endpoint},
    }
    where = {"podTemplate": {"spec": {"nodeSelector": {"kubernetes.io/hostname": node}}}} if node else {}
    return light(name, model=source | (model or {}), **where, **spec)


def ready(kubectl: Kubectl, body: Object) -> Object:
    """Apply a service, wait until all its replicas are ready, and return it."""
    kubectl.apply(body)
    name, replicas = body["metadata"]["name"], body["spec"].get("replicas", 1)
    kubectl.wait(f"infsvc/{name}", f"jsonpath={{.status.readyReplicas}}={replicas}", READY_S)
    kubectl.wait(f"infsvc/{name}", "condition=Ready", READY_S)
    return kubectl.get("infsvc", name)


def fetches(kubectl: Kubectl, name: str) -> list[Object]:
    """What the fetchers of the service's pods came to, of those that have ended."""
    return [fetch for pod in pods_of(kubectl, name) if (fetch := fetch_of(pod)) is not None]
