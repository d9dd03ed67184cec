"""A pod beside the services, to call them from inside the cluster."""

from e2e.cluster.images import reference
from e2e.support.kubectl import Kubectl, Object

CALL = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).status)"


def caller(kubectl: Kubectl, name: str, labels: dict[str, str] | None = None) -> str:
    """A pod of the namespace that waits for its user; returns its name once it runs."""
    container: Object = {
        "name": "caller",
        "image": reference("standin"),
        "command": ["sleep", "infinity"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    identity = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {
                "containers": [container],
                "securityContext": identity,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
            },
        }
    )
    kubectl.wait(f"pod/{name}", "condition=Ready", 120)
    return name


def call(kubectl: Kubectl, pod: str, url: str) -> str:
    """The HTTP status that a GET of the URL gives in that pod. Raises KubectlError with the reason when none comes."""
    return kubectl.run("exec", pod, "--", "python3", "-c", CALL, url).strip()
