"""The S3 server in the cluster, its keys, and the models in its bucket.

The keys are made up in the cluster and stay there, as Secrets in the namespace of the server: `s3-identities` is the
server's own list, `s3-write` uploads, and `s3-read`, which users copy, may read one bucket.
"""

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

from e2e.cluster import manifests, model, python_environment
from e2e.cluster.images import ROOT
from e2e.cluster.kind_cluster import KUBECONFIG, kubectl
from e2e.cluster.steps import Making, Step
from e2e.images.standin.tiny_model import write_tiny_model

NAMESPACE = "storage"
BUCKET = "models"
WORKLOAD = (NAMESPACE, "deployment/s3")
POD = ("pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=s3")
TRITON_REPOSITORY = ROOT / "e2e/images/triton/repository"
UPLOADED = "modelyard-cluster/models"
"""Annotation of the server's pod: the key of the step that filled it. It goes with the pod, as the pod's data does."""


def steps() -> tuple[Step, ...]:
    """The server, then what is in it."""
    in_cluster = ("kubectl", "network")
    return (
        Step(
            "s3",
            "an S3 server in the cluster",
            10,
            serve,
            needs=(*in_cluster, "image-s3", "load-s3"),
            inputs=(manifests.path("s3"),),
            is_made=lambda making: manifests.is_applied(making, *WORKLOAD),
        ),
        Step(
            "models",
            f"models in the bucket {BUCKET}",
            20,
            fill,
            needs=("kubectl", "python-environment", "s3", model.NAME),
            inputs=(ROOT / "e2e/cluster/upload.py", ROOT / "e2e/images/standin/tiny_model.py", TRITON_REPOSITORY),
            is_made=is_filled,
        ),
    )


def identities(write: dict[str, str], read: dict[str, str]) -> dict[str, Any]:
    """SeaweedFS's list of who may do what; `write` and `read` are keys under the names that AWS gives them."""

    def identity(name: str, keys: dict[str, str], *actions: str) -> dict[str, Any]:
        credentials = [{"accessKey": keys["AWS_ACCESS_KEY_ID"], "secretKey": keys["AWS_SECRET_ACCESS_KEY"]}]
        return {"name": name, "credentials": credentials, "actions": [f"{action}:{BUCKET}" for action in actions]}

    return {"identities": [identity("write", write, "Admin"), identity("read", read, "Read", "List")]}


def new_keys() -> dict[str, str]:
    """A new pair of keys."""
    return {"AWS_ACCESS_KEY_ID": secrets.token_hex(10), "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30)}


def serve(making: Making) -> None:
    """Make up keys where there are none, and run the server with them."""
    in_namespace = (*kubectl(making), f"--namespace={NAMESPACE}")
    if not making.commands.succeeds(*in_namespace, "get", "secret", "s3-identities"):
        making.commands.run(*kubectl(making), "apply", "--filename=-", stdin=_secrets().encode())
    manifests.apply(making, "s3", *WORKLOAD)


def _secrets() -> str:
    """The namespace and the Secrets as one list. The server's own comes last: once it is there, so are the others."""
    keys = {"s3-write": new_keys(), "s3-read": new_keys()}
    own = {"identities.json": json.dumps(identities(keys["s3-write"], keys["s3-read"]))}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    bodies = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "stringData": data}
        for name, data in {**keys, "s3-identities": own}.items()
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace, *bodies]})


def is_filled(making: Making) -> bool:
    """Whether the running server got its models from this step."""
    path = f"--output=jsonpath={{.items[*].metadata.annotations.{UPLOADED}}}"
    command = (*kubectl(making), "get", *POD, path)
    return making.commands.succeeds(*command) and making.commands.output(*command) == making.key


def fill(making: Making) -> None:
    """Upload SmolLM2, a tiny model for the stand-in engine, the same with its weights cut off, and for Triton a whole
    repository, one of whose models cannot be loaded, and an empty one.
    """
    tiny = write_tiny_model(making.folder / "tiny")
    truncated = write_tiny_model(making.folder / "tiny-truncated")
    weights = truncated / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    folders = [
        f"{model.NAME}={model.folder(making.results[model.NAME])}",
        f"tiny={tiny}",
        f"tiny-truncated={truncated}",
        f"triton={TRITON_REPOSITORY}",
        f"triton-broken={_broken_repository(making.folder / 'triton-broken')}",
        f"triton-empty={_empty_repository(making.folder / 'triton-empty')}",
    ]
    python = python_environment.python(making.results["python-environment"])
    program = kubectl(making)[0]
    making.commands.run(
        *(python, "-m", "e2e.cluster.upload", program, KUBECONFIG, NAMESPACE, BUCKET, *folders), cwd=ROOT
    )
    making.commands.run(*kubectl(making), "annotate", "--overwrite", *POD, f"{UPLOADED}={making.key}")


def _broken_repository(folder: Path) -> Path:
    """The repository, less what its model `reverse` needs."""
    shutil.copytree(TRITON_REPOSITORY, folder)
    (folder / "reverse/1/model.py").write_text('raise RuntimeError("the weights of reverse are missing")\n')
    return folder


def _empty_repository(folder: Path) -> Path:
    """A folder without a model's; with a file, since S3 has no empty folders."""
    folder.mkdir()
    (folder / "README.md").write_text("Models come later.\n")
    return folder
