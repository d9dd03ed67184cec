"""The cluster's state for the person who looks into a failed scenario: a folder of text files."""

from dataclasses import replace
from pathlib import Path

from e2e.support.kubectl import Kubectl, KubectlError

VIEWS: dict[str, tuple[str, ...]] = {
    "overview.txt": ("get", "infsvc,deployments,replicasets,pods,services,pdb,networkpolicies", "-o", "wide"),
    "infsvc.yaml": ("get", "infsvc", "-o", "yaml"),
    "objects.yaml": ("get", "deployments,services,pdb,networkpolicies,pods", "-o", "yaml"),
    "events.txt": ("get", "events", "--sort-by=.metadata.creationTimestamp"),
    "nodes.txt": ("describe", "nodes"),
}


def dump_cluster(kubectl: Kubectl, folder: Path) -> None:
    """Write the namespace's objects, events and logs, the nodes and the operator's log into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in VIEWS.items():
        _write(folder / name, kubectl, *arguments)
    for pod in kubectl.list("pods"):
        pod_name = pod["metadata"]["name"]
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            name = container["name"]
            _write(folder / f"{pod_name}.{name}.log", kubectl, "logs", pod_name, "-c", name, "--tail=2000")
    operator = replace(kubectl, namespace="modelyard-system")
    _write(folder / "operator.log", operator, "logs", "deployment/modelyard", "--tail=5000")
    print(f"\nThe cluster's state is in {folder}")


def _write(file: Path, kubectl: Kubectl, *arguments: str) -> None:
    try:
        text = kubectl.run(*arguments)
    except KubectlError as error:
        text = f"{error}\n"
    file.write_text(text)
