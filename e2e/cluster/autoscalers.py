"""What services can be scaled by instead of the operator: metrics-server for a HorizontalPodAutoscaler, KEDA, and a
Prometheus for KEDA and for the operator itself.

metrics-server and KEDA are installed by their own manifests: those in their modules, or, where images are pulled, those
of their releases.
"""

import json
import shutil
import urllib.request
from dataclasses import dataclass
from typing import Any

import e2e.cluster.keda as keda_source
from e2e.cluster import autoscaler_images, manifests
from e2e.cluster.autoscaler_images import METRICS_SERVER
from e2e.cluster.go_modules import copy_source
from e2e.cluster.images import CONTROL_PLANE, ROOT, tag
from e2e.cluster.kind_cluster import kubectl
from e2e.cluster.steps import CannotMakeError, Making, Step

SCRAPE = ROOT / "examples/autoscalers/prometheus.yaml"
READY_S = 240
PLACE = {
    "nodeSelector": {"kubernetes.io/hostname": CONTROL_PLANE},
    "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}],
}


@dataclass(frozen=True)
class Installed:
    """One of them: its Deployments, the first of which is marked, in their namespace; ``images`` by the name that its
    manifests have for each; ``patches`` by Deployment; ``release`` is where its manifests are published.
    """

    name: str
    namespace: str
    deployments: tuple[str, ...]
    images: dict[str, tuple[str, ...]]
    patches: dict[str, list[dict[str, Any]]]
    release: str
    deleted: tuple[dict[str, Any], ...] = ()


def _argument(value: str) -> dict[str, Any]:
    return {"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": value}


SOON_READY = {
    "op": "replace",
    "path": "/spec/template/spec/containers/0/readinessProbe/initialDelaySeconds",
    "value": 1,
}
SERVER = Installed(
    "metrics-server",
    "kube-system",
    ("metrics-server",),
    {
        "metrics-server": (
            "gcr.io/k8s-staging-metrics-server/metrics-server",
            "registry.k8s.io/metrics-server/metrics-server",
        )
    },
    {
        "metrics-server": [_argument("--kubelet-insecure-tls"), SOON_READY]
    },  # kind's kubelets sign their own certificates
    f"https://github.com/kubernetes-sigs/metrics-server/releases/download/{METRICS_SERVER.version}/components.yaml",
)
KEDA = Installed(
    "keda",
    "keda",
    ("keda-operator", "keda-metrics-apiserver"),
    {"keda": ("ghcr.io/kedacore/keda",), "keda-metrics": ("ghcr.io/kedacore/keda-metrics-apiserver",)},
    {"keda-operator": [_argument("--enable-webhook-patching=false"), SOON_READY]},
    f"https://github.com/kedacore/keda/releases/download/{keda_source.MODULE.version}/keda-{keda_source.VERSION}.yaml",
    # Its webhooks refuse what KEDA could not do anyway.
    deleted=(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "keda-admission", "namespace": "keda"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "keda-admission-webhooks", "namespace": "keda"}},
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "keda-admission"},
        },
    ),
)
PROMETHEUS = ("monitoring", "deployment/prometheus")


def steps(*, pull: bool) -> tuple[Step, ...]:
    """The images, and what runs them."""
    return (
        *autoscaler_images.steps(pull=pull),
        _step(SERVER, pull=pull),
        _step(KEDA, pull=pull),
        Step(
            "prometheus",
            "a Prometheus that scrapes the engines",
            10,
            install_prometheus,
            needs=("kubectl", "network", "image-prometheus", "load-prometheus"),
            inputs=(manifests.path("prometheus"), SCRAPE),
            is_made=lambda making: manifests.is_applied(making, *PROMETHEUS),
        ),
    )


def _step(installed: Installed, *, pull: bool) -> Step:
    sources = () if pull else ("go", "keda-source") if installed is KEDA else ("go",)
    made = tuple(f"{kind}-{image}" for image in installed.images for kind in ("image", "load"))
    return Step(
        installed.name,
        f"{installed.name} in the cluster",
        30,
        lambda making: install(making, installed),
        needs=("kubectl", "network", *sources, *made),
        inputs=(str(installed), json.dumps(PLACE)),
        is_made=lambda making: manifests.is_applied(
            making, installed.namespace, f"deployment/{installed.deployments[0]}"
        ),
    )


def install(making: Making, installed: Installed) -> None:
    """Apply its manifests with our images, and wait until its Deployments are ready."""
    resource = _from_module(making, installed) if "go" in making.results else _released(making, installed)
    (making.folder / "kustomization.yaml").write_text(json.dumps(overlay(making, installed, resource), indent=1))
    # Server-side: KEDA's CRDs are larger than the annotation of a client-side apply may be.
    flags = ("--server-side", "--force-conflicts")
    making.commands.run(*kubectl(making), "apply", *flags, "--kustomize", making.folder)
    for name in installed.deployments:
        command = ("rollout", "status", f"deployment/{name}", f"--namespace={installed.namespace}")
        making.commands.run(*kubectl(making), *command, f"--timeout={READY_S}s")


def overlay(making: Making, installed: Installed, resource: str) -> dict[str, Any]:
    """A kustomization of ``resource``: our images, on the control plane, less what is deleted."""
    replaced = []
    for image, names in installed.images.items():
        new_name, _, new_tag = tag(image, making.results[f"image-{image}"]).rpartition(":")
        replaced += [{"name": name, "newName": new_name, "newTag": new_tag} for name in names]
    marked = {"metadata": {"name": "any", "annotations": {manifests.KEY: making.key}}}
    placed = {"spec": {"template": {"spec": PLACE}}}
    pulled = {"op": "replace", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "IfNotPresent"}
    deployments = {"kind": "Deployment"}
    base = {"apiVersion": "apps/v1", "kind": "Deployment"}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [resource],
        "images": replaced,
        "patches": [
            *({"patch": json.dumps(body | {"$patch": "delete"})} for body in installed.deleted),
            {"target": deployments, "patch": json.dumps(base | marked | placed)},
            {"target": deployments, "patch": json.dumps([pulled])},
            *(
                {"target": deployments | {"name": name}, "patch": json.dumps(patch)}
                for name, patch in installed.patches.items()
            ),
        ],
    }


def _from_module(making: Making, installed: Installed) -> str:
    """The kustomization in its module, as a path in the step's folder."""
    if installed is KEDA:
        shutil.copytree(making.results["keda-source"].folder / "keda/config", making.folder / "config")
        return "config/default"
    copy_source(making, METRICS_SERVER, making.folder / "source")
    return "source/manifests/base"


def _released(making: Making, installed: Installed) -> str:
    """The file of its release, in the step's folder."""
    try:
        with urllib.request.urlopen(installed.release, timeout=60) as reply:
            (making.folder / "release.yaml").write_bytes(reply.read())
    except OSError as error:
        raise CannotMakeError(f"{installed.release} cannot be fetched ({error}).") from error
    return "release.yaml"


def install_prometheus(making: Making) -> None:
    """Run it with the scrape configuration that users are given."""
    configuration = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"prometheus-{making.key}", "namespace": PROMETHEUS[0]},
        "data": {"prometheus.yaml": SCRAPE.read_text()},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROMETHEUS[0]}}
    bodies = {"apiVersion": "v1", "kind": "List", "items": [namespace, configuration]}
    flags = ("--server-side", "--force-conflicts", "--filename=-")
    making.commands.run(*kubectl(making), "apply", *flags, stdin=json.dumps(bodies).encode())
    manifests.apply(making, "prometheus", *PROMETHEUS)
