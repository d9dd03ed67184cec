"""Who owns the number of replicas, on a real API server: the scale subresource, and files that others apply."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from modelyard.api import kinds
from modelyard.contract import names
from tests.support.api_client import Client, Object
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import minimal
from tests.support.program import SETTINGS, allow, started

SERVER_SIDE = ("--server-side", "--force-conflicts", "--field-manager=argocd-controller")


@pytest.fixture(scope="module")
def operator(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    allow(apiserver)
    program = started(apiserver, OPERATOR, tmp_path_factory.mktemp("operator"), SETTINGS + "scaling_interval_s: 5\n")
    with program.process:
        eventually(program.is_ready, within_s=60)
        yield


def apply(apiserver: ApiServer, namespace: str, folder: Path, *options: str, **spec: object) -> None:
    """Apply a file with these fields beside the model."""
    body = {"apiVersion": names.API_VERSION, "kind": names.KIND, **minimal(namespace)}
    body["spec"] |= spec
    file = folder / "service.yaml"
    file.write_text(yaml.safe_dump(body))
    apiserver.kubectl("apply", *options, "-f", str(file))


def deployed(admin: Client, namespace: str) -> int:
    replicas = admin.get(kinds.DEPLOYMENT, "smollm", namespace)["spec"]["replicas"]
    assert isinstance(replicas, int)
    return replicas


def service(admin: Client, namespace: str) -> Object:
    return admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace)


def decided(admin: Client, namespace: str) -> int | None:
    found: int | None = service(admin, namespace).get("status", {}).get("scaling", {}).get("desired")
    return found


def notes(admin: Client, namespace: str, reason: str) -> list[str]:
    return [event["note"] for event in admin.list(kinds.EVENT, namespace) if event["reason"] == reason]


def has_deployment(admin: Client, namespace: str) -> bool:
    return bool(admin.list(kinds.DEPLOYMENT, namespace))


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("replicas", [None, 0, 3])
def test_scale_holds_its_contract_at_birth_and_at_zero(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path, replicas: int | None
) -> None:
    apply(apiserver, namespace, tmp_path, **({} if replicas is None else {"replicas": replicas}))
    scale = eventually(
        lambda: admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace, "scale"),
        lambda found: "selector" in found["status"],
    )
    assert scale["spec"].get("replicas", 0) == (1 if replicas is None else replicas)
    labels = {names.LABEL_SERVICE: "smollm", names.LABEL_APP_COMPONENT: names.COMPONENT_ENGINE}
    assert dict(part.split("=") for part in scale["status"]["selector"].split(",")) == labels
    eventually(lambda: has_deployment(admin, namespace))
    template = admin.get(kinds.DEPLOYMENT, "smollm", namespace)["spec"]["template"]["metadata"]["labels"]
    assert labels.items() <= template.items()


@pytest.mark.usefixtures("operator")
def test_scale_counts_the_pods_that_are_neither_over_nor_detached(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    apply(apiserver, namespace, tmp_path)
    eventually(lambda: has_deployment(admin, namespace))
    labels = admin.get(kinds.DEPLOYMENT, "smollm", namespace)["spec"]["template"]["metadata"]["labels"]
    spec = {"containers": [{"name": names.CONTAINER_ENGINE, "image": "any"}]}
    for name in ("counted", "failed", "detached", "another"):
        made = admin.create(
            kinds.POD, {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec}
        )
        if name == "failed":
            admin.replace(kinds.POD, made | {"status": {"phase": "Failed"}}, "status")
    apiserver.kubectl("label", "pod/detached", "-n", namespace, f"{names.LABEL_APP_COMPONENT}-")
    apiserver.kubectl("label", "pod/another", "-n", namespace, f"{names.LABEL_SERVICE}=llama", "--overwrite")
    eventually(lambda: service(admin, namespace)["status"].get("replicas"), lambda count: count == 1)
    scale = admin.get(kinds.INFERENCE_SERVICE, "smollm", namespace, "scale")
    selected = apiserver.kubectl(
        "get", "pods", "-n", namespace, "-l", scale["status"]["selector"], "--field-selector=status.phase!=Failed",
        "-o", "name",
    )  # fmt: skip
    assert selected.split() == ["pod/counted"]


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("options", [(), SERVER_SIDE], ids=["client-side", "server-side"])
def test_the_line_replicas_that_goes_as_scaling_comes_takes_nothing_away(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    apply(apiserver, namespace, tmp_path, *options, replicas=6)
    eventually(lambda: has_deployment(admin, namespace))
    apply(apiserver, namespace, tmp_path, *options, scaling={"maxReplicas": 8})
    eventually(lambda: decided(admin, namespace))
    assert (deployed(admin, namespace), decided(admin, namespace)) == (6, 6)
    eventually(lambda: service(admin, namespace)["spec"]["replicas"], lambda number: number == 6)
    apply(apiserver, namespace, tmp_path, *options)
    eventually(lambda: decided(admin, namespace) is None or None)
    assert (deployed(admin, namespace), service(admin, namespace)["spec"]["replicas"]) == (6, 6)


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("options", [(), SERVER_SIDE], ids=["client-side", "server-side"])
def test_a_file_that_drops_replicas_and_scaling_at_once_takes_nothing_away(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    apply(apiserver, namespace, tmp_path, *options, replicas=6, scaling={"maxReplicas": 8})
    eventually(lambda: decided(admin, namespace), lambda number: number == 6)
    apply(apiserver, namespace, tmp_path, *options)
    eventually(lambda: decided(admin, namespace) is None or None)
    assert (deployed(admin, namespace), service(admin, namespace)["spec"]["replicas"]) == (6, 6)


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "applied",
    [((), "kubectl-client-side-apply"), (SERVER_SIDE, "argocd-controller")],
    ids=["client-side", "server-side"],
)
def test_a_file_with_another_number_takes_nothing_away_and_its_writer_is_named(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path, applied: tuple[tuple[str, ...], str]
) -> None:
    options, writer = applied
    scaling = {"maxReplicas": 8}
    apply(apiserver, namespace, tmp_path, *options, replicas=6, scaling=scaling)
    eventually(lambda: decided(admin, namespace), lambda number: number == 6)
    apply(apiserver, namespace, tmp_path, *options, replicas=2, scaling=scaling)
    [note] = eventually(lambda: notes(admin, namespace, "ReplicasOverruled"))
    assert note.startswith(f"{writer} set spec.replicas to 2. Scaling decides on the number, so 6 run on.")
    eventually(lambda: service(admin, namespace)["spec"]["replicas"], lambda number: number == 6)
    assert deployed(admin, namespace) == 6


@pytest.mark.usefixtures("operator")
def test_kubectl_scale_counts_at_once_and_is_explained(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    apply(apiserver, namespace, tmp_path, scaling={"maxReplicas": 8})
    eventually(lambda: decided(admin, namespace), lambda number: number == 1)
    apiserver.kubectl("scale", "infsvc/smollm", "-n", namespace, "--replicas=4")
    eventually(lambda: deployed(admin, namespace), lambda number: number == 4)
    eventually(lambda: notes(admin, namespace, "ReplicasOverruled"))
    eventually(lambda: decided(admin, namespace), lambda number: number == 4)


@pytest.mark.usefixtures("operator")
def test_an_autoscaler_of_the_deployment_is_named(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    apply(apiserver, namespace, tmp_path, scaling={"maxReplicas": 8})
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "theirs", "namespace": namespace},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "smollm"}, "maxReplicas": 3},
    }
    apiserver.kubectl("apply", "-f", "-", stdin=json.dumps(hpa))

    def conflict() -> str | None:
        conditions = service(admin, namespace).get("status", {}).get("conditions", ())
        found = (c["message"] for c in conditions if c["reason"] == "ForeignAutoscaler")
        return next(found, None)

    assert "HorizontalPodAutoscaler theirs scales Deployment smollm" in eventually(conflict)
    apiserver.kubectl("delete", "hpa/theirs", "-n", namespace)
    eventually(lambda: conflict() is None or None)
