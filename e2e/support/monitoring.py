"""The Prometheus of the local cluster, away and back."""

from collections.abc import Iterator
from contextlib import contextmanager

from e2e.support.kubectl import Kubectl

READY_S = 120


@contextmanager
def prometheus_stopped() -> Iterator[None]:
    """No Prometheus runs, from here to the end of the block."""
    kubectl = Kubectl(namespace="monitoring")
    kubectl.run("scale", "deployment/prometheus", "--replicas=0")
    kubectl.run("wait", "pod", "--selector=app.kubernetes.io/name=prometheus", "--for=delete", "--timeout=60s")
    try:
        yield
    finally:
        kubectl.run("scale", "deployment/prometheus", "--replicas=1")
        kubectl.run("rollout", "status", "deployment/prometheus", f"--timeout={READY_S}s", timeout_s=READY_S + 30)
