"""The operator and the node cache in the local cluster: the CRDs first, then deploy/ with its images and settings."""

import json
import os
from pathlib import Path
from typing import Any

from e2e.cluster import kind_cluster
from e2e.cluster.images import ROOT, WORKERS, tag
from e2e.cluster.steps import Making

CRDS = ROOT / "crds"
BASE = ROOT / "deploy/base"
NODE_CACHE = ROOT / "deploy/components/node-cache"
NAMESPACE = "modelyard-system"
DEPLOYMENT = "deployment/modelyard"
AGENTS = "daemonset/modelyard-node"
REPLICAS = 2
"""As in deploy/base."""
CACHE_PATH = "/mnt/modelyard"
"""Where the workers' caches lie: deploy/components/node-cache's default. The control plane has no such folder."""
CACHE_AMOUNTS = {"MODELYARD_NODE_BUDGET": "4Gi", "MODELYARD_NODE_RESERVE": "1Gi"}
"""The disk is the machine's own, whose size and fill vary: no shares of it."""

KEY = "modelyard-cluster/key"
"""Annotation of the operator's Deployment: the key of the step that installed it."""


def settings(fetch_image: str, vllm_image: str, triton_image: str) -> dict[str, Any]:
    """The platform team's decisions for this cluster: where its images are."""
    vllm = {"engine": "vllm", "version": "0.32.0", "accelerator": "cpu", "image": vllm_image}
    triton = {"engine": "triton", "version": "24.10", "accelerator": "cpu", "image": triton_image}
    # The models are small and so are the nodes: what a pod requests bounds how many tests run side by side.
    fetch = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}}
    return {
        "fetch_image": fetch_image,
        "fetch_resources": fetch,
        "images": [vllm, triton],
        "cache_medium": "NodeLocal",
    }


def overlay(operator_image: str, node_image: str, key: str, folder: Path) -> dict[str, Any]:
    """A kustomization in ``folder`` of the operator and the node cache, with their images and a settings.yaml."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [_relative(BASE, folder)],
        "components": [_relative(NODE_CACHE, folder)],
        "images": [_image("modelyard", operator_image), _image("modelyard-node", node_image)],
        "configMapGenerator": [{"name": "modelyard-settings", "behavior": "replace", "files": ["settings.yaml"]}],
        "patches": [
            {
                "target": {"kind": "Deployment", "name": "modelyard"},
                "patch": json.dumps([{"op": "add", "path": "/metadata/annotations", "value": {KEY: key}}]),
            },
            {"patch": json.dumps(_cache_amounts())},
        ],
    }


def _cache_amounts() -> dict[str, Any]:
    metadata = {"name": "modelyard-node"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": CACHE_AMOUNTS}


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder.resolve())


def _image(name: str, reference: str) -> dict[str, str]:
    new_name, _, new_tag = reference.rpartition(":")
    return {"name": name, "newName": new_name, "newTag": new_tag}


def is_installed(making: Making) -> bool:
    """Whether the operator runs as this step would install it."""
    seen = "--output=jsonpath={.metadata.annotations.modelyard-cluster/key} {.status.readyReplicas}"
    command = (*kind_cluster.kubectl(making), "get", DEPLOYMENT, f"--namespace={NAMESPACE}", seen)
    return making.commands.succeeds(*command) and making.commands.output(*command) == f"{making.key} {REPLICAS}"


def install(making: Making) -> None:
    """Apply the CRDs, then the operator and the node cache, and wait until both are ready."""

    def image(name: str) -> str:
        return tag(name, making.results[f"image-{name}"])

    kubectl = kind_cluster.kubectl(making)
    making.commands.run(*kubectl, "apply", "--server-side", "--force-conflicts", "--filename", CRDS)
    making.commands.run(*kubectl, "wait", "--for=condition=Established", "--timeout=60s", "--filename", CRDS)
    content = {
        "kustomization.yaml": overlay(image("operator"), image("node-agent"), making.key, making.folder),
        "settings.yaml": settings(image("fetch"), image("vllm-cpu"), image("triton")),
    }
    for name, body in content.items():
        Path(making.folder / name).write_text(json.dumps(body, indent=1))
    for node in WORKERS:
        making.commands.run("docker", "exec", node, "mkdir", "-p", CACHE_PATH)
    making.commands.run(*kubectl, "apply", "--kustomize", making.folder)
    for workload in (AGENTS, DEPLOYMENT):
        making.commands.run(*kubectl, "rollout", "status", workload, f"--namespace={NAMESPACE}", "--timeout=120s")
