"""The operator as it is installed: the program, its own role, a real API server. No controllers: pods never come."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.contract import names
from tests.support.api_client import Client, Object, RefusedError
from tests.support.apiserver import ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import FULL_SPEC, child_name, minimal, with_every_child
from tests.support.program import Program, ready

NAME = "smollm"


@pytest.fixture(scope="module")
def operator(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with ready(apiserver, tmp_path_factory.mktemp("operator")) as program:
        yield program
        program.ends_without_trouble()


def found(admin: Client, kind: Kind, namespace: str, name: str = NAME) -> Object | None:
    try:
        return admin.get(kind, name, namespace)
    except RefusedError as error:
        if error.code == 404:
            return None
        raise


def children(admin: Client, namespace: str) -> list[Object | None]:
    return [found(admin, kind, namespace, child_name(kind, NAME)) for kind in kinds.CHILDREN]


def served(admin: Client, namespace: str) -> list[Object]:
    """A service of the namespace with its children, once its status is written."""
    admin.create(kinds.INFERENCE_SERVICE, with_every_child(namespace))
    eventually(lambda: "status" in admin.get(kinds.INFERENCE_SERVICE, NAME, namespace))
    made = [child for child in children(admin, namespace) if child is not None]
    assert len(made) == len(kinds.CHILDREN)
    return made


def rendered_part(child: Object) -> Object:
    """What is compared before and after a repair: all but the server's own bookkeeping."""
    metadata = {field: child["metadata"].get(field) for field in ("labels", "annotations", "ownerReferences")}
    spec = {field: value for field, value in child.get("spec", {}).items() if not field.startswith("clusterIP")}
    return {"metadata": metadata, "spec": spec, "data": child.get("data")}


def set_at(*path: str | int, value: object) -> Callable[[Object], None]:
    """A change of one field."""

    def change(body: Object) -> None:
        place: object = body
        for step in path[:-1]:
            place = place[step]  # type: ignore[index] # dicts and lists of plain JSON
        place[path[-1]] = value  # type: ignore[index] # as above

    return change


ENGINE: Sequence[str | int] = ("spec", "template", "spec", "containers", 0)
MAP = {"name": "theirs"}
EDITS: list[tuple[Kind, Callable[[Object], None]]] = [
    (kinds.SERVICE, set_at("spec", "ports", 0, "port", value=8080)),
    (kinds.SERVICE, set_at("spec", "ports", 0, "targetPort", value=1)),
    (kinds.SERVICE, set_at("spec", "ports", 0, "name", value="other")),
    (kinds.SERVICE, set_at("spec", "selector", value={"theirs": "yes"})),
    (kinds.SERVICE, set_at("spec", "selector", "theirs", value="yes")),
    (kinds.SERVICE, set_at("metadata", "ownerReferences", value=[])),
    (kinds.SERVICE, set_at("metadata", "labels", value={})),
    (kinds.SERVICE, set_at("metadata", "annotations", value={})),
    (kinds.POD_DISRUPTION_BUDGET, set_at("spec", "maxUnavailable", value="50%")),
    (kinds.POD_DISRUPTION_BUDGET, set_at("spec", "unhealthyPodEvictionPolicy", value="IfHealthyBudget")),
    (kinds.POD_DISRUPTION_BUDGET, set_at("spec", value={"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}})),
    (kinds.NETWORK_POLICY, set_at("spec", "ingress", value=[{}])),
    (kinds.NETWORK_POLICY, set_at("spec", "ingress", 0, "ports", value=[])),
    (kinds.NETWORK_POLICY, set_at("spec", "ingress", 0, "from", 0, "podSelector", value={})),
    (kinds.NETWORK_POLICY, set_at("spec", "podSelector", "matchLabels", "theirs", value="yes")),
    (kinds.NETWORK_POLICY, set_at("spec", "policyTypes", value=["Egress"])),
    (kinds.CONFIG_MAP, set_at("metadata", "annotations", names.ANNOTATION_REVISIONS, value="theirs")),
    (kinds.DEPLOYMENT, set_at("spec", "replicas", value=5)),
    (kinds.DEPLOYMENT, set_at("spec", "paused", value=True)),
    (kinds.DEPLOYMENT, set_at("spec", "strategy", value={"type": "Recreate"})),
    (kinds.DEPLOYMENT, set_at("spec", "template", "spec", "automountServiceAccountToken", value=True)),
    (kinds.DEPLOYMENT, set_at("spec", "template", "spec", "tolerations", value=[{"operator": "Exists"}])),
    (kinds.DEPLOYMENT, set_at("spec", "template", "spec", "volumes", 0, value={"name": "cache", "configMap": MAP})),
    (kinds.DEPLOYMENT, set_at(*ENGINE, "image", value="theirs")),
    (kinds.DEPLOYMENT, set_at(*ENGINE, "livenessProbe", value={"exec": {"command": ["true"]}})),
    (kinds.DEPLOYMENT, set_at(*ENGINE, "ports", 0, "containerPort", value=1234)),
    (kinds.DEPLOYMENT, set_at(*ENGINE, "command", value=["sh"])),
    (kinds.DEPLOYMENT, set_at(*ENGINE, "resources", value={})),
    (kinds.DEPLOYMENT, set_at("metadata", "labels", names.LABEL_APP_MANAGED_BY, value="Helm")),
]


@pytest.mark.parametrize(("kind", "change"), EDITS)
@pytest.mark.usefixtures("operator")
def test_an_edited_child_is_repaired(
    admin: Client, namespace: str, kind: Kind, change: Callable[[Object], None]
) -> None:
    [intact] = [child for child in served(admin, namespace) if child["kind"] == kind.kind]
    edited = admin.get(kind, child_name(kind, NAME), namespace)
    change(edited)
    written = admin.replace(kind, edited)
    assert rendered_part(written) != rendered_part(intact), "the edit must change something"

    def repaired() -> Object:
        return rendered_part(admin.get(kind, child_name(kind, NAME), namespace))

    assert eventually(repaired, lambda now: now == rendered_part(intact)) == rendered_part(intact)


@pytest.mark.parametrize("kind", kinds.CHILDREN)
@pytest.mark.usefixtures("operator")
def test_a_deleted_child_comes_back(admin: Client, namespace: str, kind: Kind) -> None:
    served(admin, namespace)
    admin.delete(kind, child_name(kind, NAME), namespace)
    eventually(lambda: found(admin, kind, namespace, child_name(kind, NAME)))


@pytest.mark.usefixtures("operator")
def test_nothing_is_written_when_nothing_changed(admin: Client, namespace: str) -> None:
    full = minimal(namespace)
    for_one_engine = {field: value for field, value in FULL_SPEC["engine"].items() if field != "triton"}
    full["spec"] = FULL_SPEC | {"engine": for_one_engine}
    full["metadata"]["name"] = "full"
    before = [served(admin, namespace), admin.create(kinds.INFERENCE_SERVICE, full)]
    eventually(lambda: "status" in admin.get(kinds.INFERENCE_SERVICE, "full", namespace))
    versions = all_versions(admin, namespace)
    for name in (NAME, "full"):
        annotated = admin.get(kinds.INFERENCE_SERVICE, name, namespace)
        annotated["metadata"]["annotations"] = {"touched": "yes"}
        admin.replace(kinds.INFERENCE_SERVICE, annotated)
    probe = minimal(namespace)
    probe["metadata"]["name"] = "probe"
    admin.create(kinds.INFERENCE_SERVICE, probe)
    eventually(lambda: "status" in admin.get(kinds.INFERENCE_SERVICE, "probe", namespace))
    assert before
    assert versions.items() <= all_versions(admin, namespace).items()


def all_versions(admin: Client, namespace: str) -> dict[tuple[str, str], str]:
    return {
        (kind.kind, body["metadata"]["name"]): body["metadata"]["resourceVersion"]
        for kind in kinds.CHILDREN
        for body in admin.list(kind, namespace)
        if body["metadata"]["name"] != "kubernetes"
    }


@pytest.mark.usefixtures("operator")
def test_a_service_carries_no_finalizer_and_no_annotation_of_ours(admin: Client, namespace: str) -> None:
    served(admin, namespace)
    metadata = admin.get(kinds.INFERENCE_SERVICE, NAME, namespace)["metadata"]
    assert "finalizers" not in metadata
    assert "annotations" not in metadata


@pytest.mark.usefixtures("operator")
def test_an_object_of_another_owner_is_left_alone_and_reported(admin: Client, namespace: str) -> None:
    theirs = admin.create(
        kinds.SERVICE, {"metadata": {"name": NAME, "namespace": namespace}, "spec": {"ports": [{"port": 1}]}}
    )
    admin.create(kinds.INFERENCE_SERVICE, minimal(namespace))
    status = eventually(lambda: admin.get(kinds.INFERENCE_SERVICE, NAME, namespace).get("status", {}))
    assert "NameTaken" in [condition["reason"] for condition in status["conditions"]]
    assert admin.get(kinds.SERVICE, NAME, namespace) == theirs
    assert found(admin, kinds.DEPLOYMENT, namespace) is None


def test_its_own_endpoint_reports_its_health(operator: Program, admin: Client, namespace: str) -> None:
    served(admin, namespace)
    assert operator.answers("/healthz") == (200, "ok")
    text = operator.answers("/metrics")[1]
    assert 'modelyard_api_calls_total{outcome="200",verb="apply"}' in text
    assert "modelyard_queue_depth 0.0" in text
    assert 'modelyard_services{condition="Ready",reason="Creating",status="False"}' in text


def test_one_line_is_logged_per_change(operator: Program, admin: Client, namespace: str) -> None:
    served(admin, namespace)
    about = f"{namespace}/{NAME}"
    lines = eventually(
        lambda: [line for line in operator.log() if line.get("service") == about], lambda lines: len(lines) >= 4
    )
    assert [(line["message"], line.get("kind")) for line in lines] == [
        *(("child applied", kind.kind) for kind in kinds.CHILDREN),
        ("status changed", None),
    ]
