"""Objects of a test's own beside the services; its pods pass Pod Security `restricted`."""

from collections.abc import Sequence

from e2e.support.kubectl import Kubectl, Object

USER = 65532


def pod(name: str, image: str, *, command: Sequence[str] = (), args: Sequence[str] = (), **container: object) -> Object:
    """A pod of one container, labelled with its name; ``container`` has more of that container's fields."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    program = {"command": list(command)} if command else {}
    only = {"name": name, "image": image, **program, "args": list(args), "securityContext": security, **container}
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [only],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def in_front_of(app: str, name: str, *ports: int, to: int | None = None) -> Object:
    """A Service ``name`` before the pods labelled ``app``; its ports lead to the same ones, or all ``to`` one."""
    listed = [{"name": f"port-{port}", "port": port, "targetPort": to or port} for port in ports]
    spec = {"selector": {"app": app}, "ports": listed}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def config_map(name: str, data: dict[str, str]) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, data: dict[str, str]) -> Object:
    """A Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def run(kubectl: Kubectl, body: Object, within_s: int = 120) -> None:
    """Apply a pod and wait until it is ready."""
    kubectl.apply(body)
    kubectl.wait(f"pod/{body['metadata']['name']}", "condition=Ready", within_s)
