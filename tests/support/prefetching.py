"""Nodes to prefetch on, and what the Job controller, the scheduler and the kubelet make of the operator's Job."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from modelyard.api import kinds
from modelyard.api.conditions import timestamp
from modelyard.api.service import Key, Object
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.prefetch import job as prefetch_job
from modelyard.prefetch.round import Round
from tests.support import factories
from tests.support.api_client import Client
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.rendering import SETTINGS, resolved
from tests.support.running_operator import START, RunningOperator

KEY = Key("team-a", "smollm")
JOB = Key("team-a", "smollm-prefetch")
LABEL = f"{names.LABEL_MODEL_DOMAIN}/{factories.UID}"
"""On nodes that hold the model of the service of the factories."""

NO_ROOM = "0/3 nodes are available: 3 Insufficient memory."


def gpu_node(name: str, *, gpus: int = 1, ready: bool = True, taint: str = "", **labels: str) -> Object:
    """A node with accelerators. ``taint`` is the key of one that keeps pods off."""
    body = factories.node(name=name)
    body["metadata"]["labels"] = {names.LABEL_HOSTNAME: name, **labels}
    amounts = {"nvidia.com/gpu": str(gpus)}
    condition = {"type": "Ready", "status": str(ready), "message": "kubelet stopped posting node status"}
    return body | {
        "spec": {"taints": [{"key": taint, "effect": "NoSchedule"}] if taint else []},
        "status": {"allocatable": amounts, "capacity": amounts, "conditions": [condition]},
    }


def node_on(admin: Client, name: str) -> None:
    """Such a node on a real API server, which taints each new one until its kubelet is ready."""
    node = gpu_node(name)
    created = admin.create(kinds.NODE, {"metadata": {"name": name, "labels": node["metadata"]["labels"]}})
    ready = admin.replace(kinds.NODE, created | {"status": node["status"]}, "status")
    admin.replace(kinds.NODE, ready | {"spec": {}})


def holding(node: Object, label: str = LABEL) -> Object:
    """The node as it is labelled once its cache holds the model."""
    labels = {**node["metadata"]["labels"], label: "sha256-aaaa"}
    return node | {"metadata": {**node["metadata"], "labels": labels}}


def prefetching_service(prefetch: int | None = 2, *, selector: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """An InferenceService that requests warm nodes."""
    cache: Object = {"medium": names.MEDIUM_NODE_LOCAL}
    cache |= {} if prefetch is None else {"prefetch": prefetch}
    cache |= {"prefetchNodeSelector": dict(selector)} if selector else {}
    return factories.service(cache=cache, **spec)


def pod_of(job: Object, name: str, *, node: str = "", phase: str = "Pending", refused_at: str = "") -> Object:
    """A pod that the Job controller made; ``node`` is where it is, ``refused_at`` since when no node takes it."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    scheduled = {"type": "PodScheduled", "status": str(bool(node)), "lastTransitionTime": refused_at or None}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": job["metadata"]["namespace"],
            "uid": f"uid-of-{name}",
            "resourceVersion": "1",
            "labels": job["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": [owner],
        },
        "spec": job["spec"]["template"]["spec"] | ({"nodeName": node} if node else {}),
        "status": {
            "phase": phase,
            "conditions": [scheduled | ({"message": NO_ROOM} if refused_at else {})],
        },
    }


def job_of(cluster: InMemoryCluster) -> Object:
    """The service's Job, which must be there."""
    job = cluster.see(kinds.JOB, JOB)
    assert job is not None
    return job


def hosts(job: Object) -> list[str]:
    """The nodes that the Job's pods may run on."""
    required = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    [term] = required["nodeSelectorTerms"]
    found: list[str] = next(e["values"] for e in term["matchExpressions"] if e["key"] == names.LABEL_HOSTNAME)
    return found


def warm(cluster: InMemoryCluster, *nodes: str) -> None:
    """The Job's pods on these nodes end well."""
    job = job_of(cluster)
    for node in nodes:
        cluster.put(pod_of(job, f"{job['metadata']['uid']}-{node}", node=node, phase="Succeeded"))


def job_for(body: Object, round_: Round, settings: Settings = SETTINGS) -> Object:
    """The Job of this round, as it is rendered for the service."""
    answered = resolved(body, settings)
    request = prefetch_job.request(answered)
    assert request is not None
    return prefetch_job.build(answered, request, round_)


def time_of(operator: RunningOperator) -> str:
    """The present time, as Kubernetes writes it."""
    return timestamp(START + timedelta(seconds=operator.clock.time()))


def complete(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    """The Job controller finds that the Job is over."""
    condition = {"type": "Complete", "status": "True", "lastTransitionTime": time_of(operator)}
    cluster.edit(kinds.JOB, JOB, lambda body: body.update(status={"conditions": [condition]}))


def prefetch_status(cluster: InMemoryCluster) -> Object:
    """What the service's status reports of prefetching, which must be there."""
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    found: Object = service["status"]["prefetch"]
    return found
