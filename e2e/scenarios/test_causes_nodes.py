"""Nodes that are taken away from running services: drained, out of order, with broken devices. These run alone."""

import time
from collections.abc import Iterator

import pytest

from e2e.cluster.images import GPU_WORKER, SPOT_WORKER
from e2e.support.causes import NODE_IS_BEHIND, Cause, play_alone
from e2e.support.kubectl import Kubectl, condition
from e2e.support.on_nodes import frozen
from e2e.support.services import light, pods_of
from e2e.support.stories import stories
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

READY_S = 240
WITHIN_S = 60
NODE_GIVEN_UP_S = 90
"""Kubernetes calls a node unreachable when it was silent for 50 seconds."""
WHOLE_NODE = {"type": "nvidia", "count": 4}
PLUGIN = "app.kubernetes.io/name=gpu-plugin"


@pytest.fixture
def plugins() -> Iterator[list[str]]:
    """The device plugins' pods; all their GPUs are healthy afterwards."""
    there = Kubectl(namespace="kube-system")
    names = [pod["metadata"]["name"] for pod in there.list("pods", PLUGIN)]
    yield names
    _set_health(names, broken=False)


def _set_health(plugins: list[str], *, broken: bool) -> None:
    """Break one GPU of each node, or mend it; the kubelet knows of it afterwards."""
    there = Kubectl(namespace="kube-system")
    for name in plugins:
        there.run("exec", name, "--", *(("touch",) if broken else ("rm", "-f")), "/run/unhealthy/gpu-2")
    offered = rf"jsonpath={{.status.allocatable.nvidia\.com/gpu}}={3 if broken else 4}"
    for node in (GPU_WORKER, SPOT_WORKER):
        there.wait(f"node/{node}", offered, WITHIN_S)


@pytest.fixture
def schedulable(cluster: Kubectl) -> Iterator[Kubectl]:
    """The cluster, whose nodes take pods again afterwards."""
    yield cluster
    cluster.run("uncordon", GPU_WORKER, SPOT_WORKER)


def test_a_device_that_became_unhealthy_is_no_longer_offered(
    namespace: Kubectl, plugins: list[str], request: pytest.FixtureRequest
) -> None:
    cause = Cause(
        "one unhealthy GPU on each node",
        lambda: light("whole", accelerator=WHOLE_NODE),
        "InsufficientAccelerators",
        ("4 nvidia.com/gpu", "offer 6", "at most 3", "nhealthy"),
        lambda _: _set_health(plugins, broken=False),
        before=lambda _: _set_health(plugins, broken=True),
        after_cure=NODE_IS_BEHIND,
    )
    play_alone(cause, namespace, request)


def test_a_drained_node_leaves_the_service_up_and_is_reported_until_it_takes_pods_again(
    namespace: Kubectl, schedulable: Kubectl
) -> None:
    namespace.apply(light("pair", accelerator=WHOLE_NODE, replicas=2))
    namespace.wait("infsvc/pair", "jsonpath={.status.readyReplicas}=2", READY_S)

    with stories(namespace) as watched:
        selector = "--pod-selector=serving.modelyard.dev/service=pair"
        schedulable.run("drain", GPU_WORKER, "--ignore-daemonsets", "--delete-emptydir-data", selector)
        drained_s = time.monotonic()
        short = watched.first("pair", lambda m: m.reports()[0] == "Degraded", since_s=drained_s, within_s=WITHIN_S)
        assert "1 of 2 replicas" in short.reports()[1]
        reason, message = short.reports("Available")
        assert reason == "InsufficientAccelerators"
        assert GPU_WORKER in message
        assert "cordoned" in message

        uncordoned_s = time.monotonic()
        schedulable.run("uncordon", GPU_WORKER)
        watched.first("pair", lambda m: m.reports()[0] == "Ready", since_s=uncordoned_s, within_s=WITHIN_S)
        assert all(m.is_ready for m in watched.of("pair")), "not a moment without a replica"


def test_a_node_that_stopped_answering_is_reported_by_name_and_its_return_is_noticed(
    namespace: Kubectl, schedulable: Kubectl
) -> None:
    schedulable.run("cordon", SPOT_WORKER)
    namespace.apply(light("single"))
    namespace.wait("infsvc/single", "condition=Ready", READY_S)
    schedulable.run("uncordon", SPOT_WORKER)
    (pod,) = pods_of(namespace, "single")
    assert pod["spec"]["nodeName"] == GPU_WORKER

    with stories(namespace) as watched:
        with frozen(GPU_WORKER):
            eventually(lambda: _is_given_up(schedulable), within_s=NODE_GIVEN_UP_S, every_s=1)
            given_up_s = time.monotonic()
            gone = watched.first(
                "single", lambda m: m.reports()[0] == "NodeUnavailable", since_s=given_up_s, within_s=WITHIN_S
            )
            assert not gone.is_ready
            assert GPU_WORKER in gone.reports()[1]
        back_s = time.monotonic()
        watched.first("single", lambda m: m.reports()[0] == "Ready", since_s=back_s, within_s=WITHIN_S)
        assert {m.reports()[0] for m in watched.of("single")} <= {"Ready", "NodeUnavailable", "RollingOut"}


def _is_given_up(cluster: Kubectl) -> bool:
    ready = condition(cluster.get("node", GPU_WORKER), "Ready")
    return ready is not None and ready["status"] != "True"
