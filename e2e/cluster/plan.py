"""The steps of set-up: what each makes, from what. `python3 -m e2e.cluster steps` prints them.

First the engine; then, where images can be pulled, the published node image, else Debian packages, Go modules and what
is built from them; then one path for both: the cluster, its network, and the images on its nodes.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from e2e.cluster import (
    autoscalers,
    base_images,
    binaries,
    engine,
    gpus,
    images,
    kind_cluster,
    kubernetes,
    model,
    network,
    network_policy,
    node_image,
    python_environment,
    storage,
    tools,
)
from e2e.cluster.base_images import NODE_RELEASE, PYTHON_RELEASE, build_python
from e2e.cluster.images import is_in_engine
from e2e.cluster.node_image import build as build_node
from e2e.cluster.operator_installation import BASE, CRDS, NODE_CACHE, install, is_installed
from e2e.cluster.steps import Step


def before_images() -> tuple[Step, ...]:
    """What is made before it can be found out whether images can be pulled."""
    environment = python_environment
    return (
        Step("python-environment", "the packages of locks/dev.txt", 60, environment.make, inputs=environment.inputs()),
        *engine.steps(),
    )


def for_benchmarks() -> tuple[Step, ...]:
    """What the benchmarks need and the cluster does not."""
    return (Step("nginx", "nginx from Debian", 10, tools.fetch_nginx, inputs=tools.nginx_inputs()),)


def all_steps(*, pull: bool) -> tuple[Step, ...]:
    """Everything, in the order in which steps start that wait for the same."""
    create = partial(kind_cluster.create, local_node_image=not pull)
    config = kind_cluster.configuration_text(local_node_image=not pull)
    connect = partial(network.connect, local_node_image=not pull)
    connected = partial(network.is_connected, local_node_image=not pull)
    named = ("image-fetch", "image-operator", "image-node-agent", "image-vllm-cpu", "image-triton")
    installed_from = ("kubectl", "network", *named, "load-operator", "load-node-agent")
    return (
        *before_images(),
        *(_pulled() if pull else _built()),
        Step("cluster", "three kind nodes", 40, create, ("kind", "node-image"), (config,), kind_cluster.is_made),
        Step("network", "pods reach each other, names work", 5, connect, ("cluster", "kubectl"), is_made=connected),
        *_images(pull=pull),
        *(() if pull else network_policy.steps()),
        gpus.step(),
        *autoscalers.steps(pull=pull),
        model.step(base=None if pull else "python"),
        *storage.steps(),
        Step(
            "operator", "operator and node cache", 30, install, installed_from, (CRDS, BASE, NODE_CACHE), is_installed
        ),
    )


def _pulled() -> tuple[Step, ...]:
    node, published = kind_cluster.PUBLISHED_NODE, tuple(binaries.PUBLISHED.values())
    return (
        Step("kind", f"kind {tools.KIND_VERSION}", 40, tools.install_kind, (), (tools.KIND_VERSION,)),
        Step("node-image", node, 60, kind_cluster.pull_node, ("engine",), (node,), is_in_engine("node")),
        Step("kubectl", "kubectl of the node image", 2, binaries.extract_kubectl, ("node-image",)),
        Step("binaries", "etcd, kube-apiserver, kubectl", 20, binaries.extract, ("kubectl",), published),
    )


def _built() -> tuple[Step, ...]:
    node, python = f"debian-{NODE_RELEASE}", f"debian-{PYTHON_RELEASE}"
    python_inputs = (base_images.PYTHON, *base_images.certificates())
    node_inputs: tuple[Path | str, ...] = (node_image.CONTENT, *node_image.PRELOADED.values())
    return (
        Step("go", "Go, to build with", 20, tools.fetch_go),
        Step("kubernetes", f"Kubernetes {kubernetes.VERSION}", 570, kubernetes.build, ("go",), kubernetes.inputs()),
        Step("debootstrap", "debootstrap", 10, base_images.fetch_debootstrap, (), base_images.debootstrap_inputs()),
        _debian(PYTHON_RELEASE),
        Step("python", "Python on Debian", 30, build_python, (python,), python_inputs, is_in_engine("python")),
        _debian(NODE_RELEASE),
        Step("kind", f"kind {tools.KIND_VERSION}", 40, tools.install_kind, ("go",), (tools.KIND_VERSION,)),
        Step("node-image", "a kind node", 70, build_node, (node, "kubernetes"), node_inputs, is_in_engine("node")),
        Step("kubectl", "kubectl", 1, binaries.link_kubectl, ("kubernetes",)),
        Step("etcd", "etcd from Debian", 15, binaries.fetch_etcd),
        Step("binaries", "etcd, kube-apiserver, kubectl", 1, binaries.gather, ("etcd", "kubernetes")),
    )


def _debian(release: str) -> Step:
    name = f"debian-{release}"
    make = partial(base_images.bootstrap, release=release)
    needs, inputs = ("engine", "debootstrap"), base_images.inputs(release)
    return Step(name, f"Debian {release} as an image", 110, make, needs, inputs, is_in_engine(name))


def _images(*, pull: bool) -> Sequence[Step]:
    steps: list[Step] = []
    for image in images.IMAGES:
        if pull and image.published:
            steps.append(images.pull_step(image))
        else:
            steps.append(images.build_step(image, base=None if pull else "python"))
        steps.append(images.load_step(image))
    return steps
