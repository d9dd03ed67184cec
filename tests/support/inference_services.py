"""InferenceServices as users write them: the smallest, and ones that together use every field of the schema."""

from copy import deepcopy
from typing import Any

from tests.support import crd_schema

Object = dict[str, Any]

FULL_SPEC: Object = {
    "model": {
        "uri": "s3://models/llama-3-8b",
        "name": "llama-3-8b",
        "revision": "2026-11",
        "credentials": {"secretName": "s3-read"},
        "s3": {
            "endpoint": "https://s3.example.com",
            "region": "eu-central-1",
            "addressingStyle": "path",
            "caBundle": {"configMapName": "company-ca", "key": "ca.crt"},
        },
    },
    "serviceAccountName": "model-reader",
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
    },
    "accelerator": {"type": "nvidia", "count": 2, "resource": "nvidia.com/gpu"},
    "resources": {"requests": {"cpu": 4, "memory": "32Gi"}, "limits": {"cpu": "8", "memory": "32Gi"}},
    "replicas": 2,
    "startup": {"timeoutSeconds": 3600},
    "drain": {"timeoutSeconds": 120},
}

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
    "model": {"digest": "sha256:" + "0" * 64, "sizeBytes": 16_000_000_000},
    "effective": {
        "engineType": "vllm",
        "engineVersion": "0.32.0",
        "engineImage": "registry.example.com/vllm:0.32.0",
        "acceleratorType": "nvidia",
        "acceleratorCount": 2,
        "acceleratorResource": "nvidia.com/gpu",
        "fetchImage": "registry.example.com/modelyard-fetch:0.1.0",
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
            "message": "1 of 2 pods can be asked.",
        }
    ],
}


def minimal(namespace: str, name: str = "smollm") -> Object:
    """The smallest InferenceService that a user can write."""
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"model": {"uri": "s3://models/smollm2-135m"}}}


def full(namespace: str, name: str = "llama") -> Object:
    """An InferenceService that uses every field of one source, with a status that uses all."""
    metadata = {"name": name, "namespace": namespace}
    return {"metadata": metadata, "spec": deepcopy(FULL_SPEC), "status": deepcopy(FULL_STATUS)}


def with_field(body: Object, place: str) -> Object:
    """``body``, or a copy with another model that has a value at ``place``. Raises LookupError where none has."""
    for model in (None, *OTHER_MODELS):
        candidate = body if model is None else crd_schema.changed(body, ("spec", "model"), deepcopy(model))
        try:
            crd_schema.find(candidate, place)
        except LookupError:
            continue
        return candidate
    raise LookupError(f"no example has {place}")
