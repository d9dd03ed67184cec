"""What is installed in the cluster beside the operator: plain files in manifests/, applied with the image of a step.

Each file has one workload, annotated with the key of the step that applied it: so a step finds out whether the cluster
has what it would apply.
"""

from pathlib import Path
from string import Template

from e2e.cluster.commands import CommandError
from e2e.cluster.images import tag
from e2e.cluster.kind_cluster import kubectl
from e2e.cluster.steps import Making

KEY = "modelyard-cluster/key"
READY_TIMEOUT_S = 180


def path(name: str) -> Path:
    """The file in manifests/."""
    return Path(__file__).parent / "manifests" / f"{name}.yaml"


def apply(making: Making, name: str, namespace: str, workload: str) -> None:
    """Apply the file of that name with the image of that name, and wait until its workload is ready."""
    image = tag(name, making.results[f"image-{name}"])
    text = Template(path(name).read_text()).substitute(image=image, key=making.key)
    making.commands.run(
        *(*kubectl(making), "apply", "--server-side", "--force-conflicts", "--filename=-"), stdin=text.encode()
    )
    making.commands.run(*_rolled_out(making, namespace, workload, READY_TIMEOUT_S))


def is_applied(making: Making, namespace: str, workload: str) -> bool:
    """Whether the workload is what this step would apply, and ready."""
    annotation = f"--output=jsonpath={{.metadata.annotations.{KEY}}}"
    try:
        applied = making.commands.output(*kubectl(making), "get", workload, f"--namespace={namespace}", annotation)
    except (CommandError, FileNotFoundError):
        return False
    return applied == making.key and making.commands.succeeds(*_rolled_out(making, namespace, workload, 1))


def _rolled_out(making: Making, namespace: str, workload: str, timeout_s: int) -> tuple[str | Path, ...]:
    options = (f"--namespace={namespace}", f"--timeout={timeout_s}s")
    return (*kubectl(making), "rollout", "status", workload, *options)
