"""InferenceServices as users write them, and profiles: the smallest, and ones that use every field of the schema."""

from copy import deepcopy
from typing import Any

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from tests.support import crd_schema

Object = dict[str, Any]

FULL_SPEC: Object = {
    "model": {
        "uri": "s3://models/llama-3-8b",
        "name": "llama-3-8b",
        "aliases": ["llama", "meta-llama/Meta-Llama-3-8B"],
        "revision": "2026-11",
        "digest": "sha256:" + "0" * 64,
        "credentials": {"secretName": "s3-read"},
        "s3": {
            "endpoint": "https://s3.example.com",
            "region": "eu-central-1",
            "addressingStyle": "path",
            "caBundle": {"configMapName": "company-ca", "key": "ca.crt"},
        },
    },
    "serviceAccountName": "model-reader",
    "imagePullSecrets": [{"name": "registry"}],
    "profile": "gpu-small",
    "engine": {
        "type": "vllm",
        "version": "0.32.0",
        "image": "registry.example.com/vllm:0.32.0",
        "args": ["--max-model-len=8192"],
        "env": [
            {"name": "LOG_LEVEL", "value": "debug"},
            {
                "name": "API_KEY",
                "valueFrom": {"secretKeyRef": {"name": "engine", "key": "api-key", "optional": False}},
            },
            {
                "name": "BANNER",
                "valueFrom": {"configMapKeyRef": {"name": "engine", "key": "banner", "optional": True}},
            },
        ],
        "triton": {"models": ["detect", "classify"]},
    },
    "networkPolicy": {
        "from": [
            {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": "apps"},
                    "matchExpressions": [
                        {"key": "a", "operator": "Exists"},
                        {"key": "b", "operator": "In", "values": ["c"]},
                    ],
                },
                "podSelector": {
                    "matchLabels": {"app": "chat"},
                    "matchExpressions": [
                        {"key": "a", "operator": "Exists"},
                        {"key": "b", "operator": "In", "values": ["c"]},
                    ],
                },
            },
            {"ipBlock": {"cidr": "10.0.0.0/8"}},
            {"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}},
        ]
    },
    "accelerator": {"type": "nvidia", "count": 2, "resource": "nvidia.com/gpu", "product": ["NVIDIA-A10G"]},
    "resources": {"requests": {"cpu": 4, "memory": "32Gi"}, "limits": {"cpu": "8", "memory": "32Gi"}},
    "cache": {"medium": "NodeLocal", "prefetch": 4, "prefetchNodeSelector": {"node-pool": "gpu"}},
    "replicas": 2,
    "scaling": {
        "minReplicas": 0,
        "maxReplicas": 8,
        "mode": "Auto",
        "source": "Pods",
        "objective": {"timeToFirstTokenMilliseconds": 1500, "timePerOutputTokenMilliseconds": 100},
        "scaleUp": {
            "stabilizationWindowSeconds": 30,
            "selectPolicy": "Min",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 600,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}],
        },
        "schedules": [
            {"start": "08:00", "end": "18:00", "timeZone": "Europe/Berlin", "days": ["Mon", "Fri"], "minReplicas": 0}
        ],
    },
    "startup": {"timeoutSeconds": 3600},
    "drain": {"timeoutSeconds": 120},
    "service": {"labels": {"team": "search"}, "annotations": {"external-dns.alpha.kubernetes.io/hostname": "llama"}},
    "podTemplate": {
        "metadata": {"labels": {"team": "search"}, "annotations": {"sidecar.istio.io/inject": "true"}},
        "spec": {"priorityClassName": "serving", "containers": [{"name": "engine", "tty": False}]},
    },
}

EVERY_CHILD: Object = {"networkPolicy": {"from": []}}
"""Fields of a spec that needs a child of every kind; some are made only where a service requests them."""

OTHER_SCALINGS: list[Object] = [
    {"maxReplicas": 8, "targets": {"queueDepth": 4, "kvCacheUsage": 80, "runningRequests": 100}},
    {"minReplicas": 0, "maxReplicas": 8, "idleAfterSeconds": 900},
]
"""What FULL_SPEC's scaling cannot have at the same time as its objective, or as another minimum."""

OTHER_MODELS: list[Object] = [
    {
        "uri": "hf://org/model@main",
        "caBundle": {"configMapName": "company-ca", "key": "ca.crt"},
        "proxy": {"url": "http://proxy.example.com:3128", "noProxy": [".internal.example.com"]},
        "hf": {"endpoint": "https://hub.example.com"},
    },
    {"uri": "https://files.example.com/model.gguf", "https": {"sha256": "0" * 64}},
]
"""What FULL_SPEC's model cannot have at the same time: fields that belong to other sources."""

FULL_STATUS: Object = {
    "observedGeneration": 1,
    "replicas": 2,
    "readyReplicas": 1,
    "desiredReplicas": 2,
    "selector": "serving.modelyard.dev/service=llama",
    "url": "http://llama.models.svc",
    "reason": "ReplicasStarting",
    "model": {
        "source": "s3://models/llama-3-8b",
        "digest": "sha256:" + "0" * 64,
        "sizeBytes": 16_000_000_000,
        "nodes": [{"name": "gpu-1", "result": "Fetched", "seconds": 90, "fetchedBytes": 16_000_000_000}],
    },
    "prefetch": {
        "desired": 4,
        "ready": 3,
        "nodes": [{"name": "gpu-2", "state": "Failed", "message": "The node's cache is full."}],
        "reason": "CacheFull",
        "message": "3 of 4 nodes have the model.",
        "finishedAt": "2026-11-01T12:00:00Z",
    },
    "scaling": {
        "mode": "Auto",
        "current": 2,
        "desired": 3,
        "achievable": 2,
        "reason": "DemandRises",
        "message": "The demand needs 3 replicas.",
        "inputs": [{"signal": "demand", "value": "2.4 replicas", "replicas": 3}],
        "history": [{"time": "2026-11-01T12:00:00Z", "from": 2, "to": 3, "reason": "DemandRises"}],
        "decidedAt": "2026-11-01T12:00:00Z",
    },
    "startup": {"readyAt": "2026-11-01T12:00:00Z", "prepareSeconds": 20, "fetchSeconds": 90, "loadSeconds": 45},
    "effective": {
        "profile": "gpu-small",
        "engineType": "vllm",
        "engineVersion": "0.32.0",
        "engineImage": "registry.example.com/vllm:0.32.0",
        "acceleratorType": "nvidia",
        "acceleratorCount": 2,
        "acceleratorResource": "nvidia.com/gpu",
        "acceleratorProductLabel": "nvidia.com/gpu.product",
        "fetchImage": "registry.example.com/modelyard-fetch:0.1.0",
        "cacheMedium": "NodeLocal",
        "startupTimeoutSeconds": 3600,
        "drainTimeoutSeconds": 120,
    },
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-01T12:00:00Z",
            "reason": "ReplicasStarting",
            "message": "1 of 2 pods are ready.",
        }
    ],
}


FULL_PROFILE: Object = {
    "engine": {field: FULL_SPEC["engine"][field] for field in ("type", "version", "image", "args", "env")},
    **{section: FULL_SPEC[section] for section in ("accelerator", "resources", "startup", "drain")},
    "cache": {"medium": "NodeLocal"},
    "forbid": ["spec.hostNetwork", "spec.volumes.hostPath"],
}


def child_name(kind: Kind, service: str) -> str:
    """The name of the service's child of that kind."""
    return f"{service}-model" if kind == kinds.CONFIG_MAP else service


def minimal(namespace: str, name: str = "smollm") -> Object:
    """The smallest InferenceService that a user can write."""
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"model": {"uri": "s3://models/smollm2-135m"}}}


def with_every_child(namespace: str, name: str = "smollm") -> Object:
    """The smallest InferenceService that has a child of every kind."""
    body = minimal(namespace, name)
    return body | {"spec": body["spec"] | EVERY_CHILD}


def full(namespace: str, name: str = "llama") -> Object:
    """An InferenceService that uses every field of one source, with a status that uses all."""
    metadata = {"name": name, "namespace": namespace}
    return {"metadata": metadata, "spec": deepcopy(FULL_SPEC), "status": deepcopy(FULL_STATUS)}


def profile(name: str = "gpu-small", **spec: Any) -> Object:
    """A ServingProfile that sets every field, or those of ``spec`` alone."""
    return {"metadata": {"name": name}, "spec": spec or deepcopy(FULL_PROFILE)}


def with_field(body: Object, place: str) -> Object:
    """``body``, or a copy with another model or scaling that has a value at ``place``. Raises LookupError where none
    has.
    """
    others = [("model", other) for other in OTHER_MODELS] + [("scaling", other) for other in OTHER_SCALINGS]
    for field, other in (("", {}), *others):
        candidate = body if not field else crd_schema.changed(body, ("spec", field), deepcopy(other))
        try:
            crd_schema.find(candidate, place)
        except LookupError:
            continue
        return candidate
    raise LookupError(f"no example has {place}")
