"""InferenceServices as users write them: the smallest, and one that uses every field of the schema."""

from copy import deepcopy
from typing import Any

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

FULL_STATUS: Object = {
    "observedGeneration": 1,
    "replicas": 2,
    "readyReplicas": 1,
    "desiredReplicas": 2,
    "selector": "serving.modelyard.dev/service=llama",
    "url": "http://llama.models.svc",
    "reason": "ReplicasStarting",
    "model": {"digest": "sha256:" + "0" * 64, "sizeBytes": 16_000_000_000},
    "startup": {"readyAt": "2026-11-01T12:00:00Z", "prepareSeconds": 20, "fetchSeconds": 90, "loadSeconds": 45},
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
    """An InferenceService that uses every field, with a status that does."""
    metadata = {"name": name, "namespace": namespace}
    return {"metadata": metadata, "spec": deepcopy(FULL_SPEC), "status": deepcopy(FULL_STATUS)}
