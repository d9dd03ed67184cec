"""The GPUs that do not exist: a device plugin (e2e/images/gpu-plugin) on both workers."""

from e2e.cluster import manifests
from e2e.cluster.images import WORKERS
from e2e.cluster.kind_cluster import kubectl
from e2e.cluster.steps import Making, Step

PER_NODE = 4
WORKLOAD = ("kube-system", "daemonset/gpu-plugin")


def step() -> Step:
    """The step that gives each worker its GPUs."""
    return Step(
        "gpus",
        f"{PER_NODE} GPUs that do not exist on each worker",
        10,
        make,
        needs=("kubectl", "network", "image-gpu-plugin", "load-gpu-plugin"),
        inputs=(manifests.path("gpu-plugin"),),
        is_made=lambda making: manifests.is_applied(making, *WORKLOAD),
    )


def make(making: Making) -> None:
    """Run the device plugin, and wait until the nodes offer its GPUs."""
    manifests.apply(making, "gpu-plugin", *WORKLOAD)
    offered = rf"--for=jsonpath={{.status.allocatable.nvidia\.com/gpu}}={PER_NODE}"
    nodes = [f"node/{name}" for name in WORKERS]
    making.commands.run(*kubectl(making), "wait", offered, "--timeout=60s", *nodes)
