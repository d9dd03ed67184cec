"""The program's own watches of profiles and of namespaces' labels, on a real API server: what services report."""

import json
from collections.abc import Iterator

import pytest

from modelyard.api.kinds import DEPLOYMENT, INFERENCE_SERVICE, SERVING_PROFILE
from modelyard.contract import names
from tests.support.api_client import Client, Object
from tests.support.apiserver import ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import minimal, profile
from tests.support.program import Program, ready

NAME = "smollm"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def operator(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with ready(apiserver, tmp_path_factory.mktemp("operator")) as program:
        yield program
        program.ends_without_trouble()


def label(admin: Client, namespace: str, value: str | None) -> None:
    patch = {"metadata": {"labels": {names.LABEL_PROFILE: value}}}
    admin.request("PATCH", f"/api/v1/namespaces/{namespace}", patch, content_type=MERGE)


def conditions(admin: Client, namespace: str) -> dict[str, Object]:
    status = admin.get(INFERENCE_SERVICE, NAME, namespace).get("status", {})
    return {condition["type"]: condition for condition in status.get("conditions", [])}


def message(admin: Client, namespace: str, type_: str, reason: str) -> str:
    """The condition's message, once it has that reason."""
    found = eventually(
        lambda: conditions(admin, namespace).get(type_),
        lambda found: bool(found["reason"] == reason),
    )
    return str(found["message"])


def template(admin: Client, namespace: str) -> str:
    return json.dumps(admin.get(DEPLOYMENT, NAME, namespace)["spec"]["template"], sort_keys=True)


@pytest.mark.usefixtures("operator")
def test_a_namespaces_label_is_noticed_when_it_is_added_changed_and_removed(admin: Client, namespace: str) -> None:
    for name, seconds in (("label-a", 70), ("label-b", 80)):
        admin.create(SERVING_PROFILE, profile(name, drain={"timeoutSeconds": seconds}))
    admin.create(INFERENCE_SERVICE, minimal(namespace))
    message(admin, namespace, "UpdateAvailable", "UpToDate")
    before = template(admin, namespace)

    label(admin, namespace, "label-a")
    assert "--drain-s 60 -> 70" in message(admin, namespace, "UpdateAvailable", "RefreshChangesPods")
    label(admin, namespace, "label-b")
    eventually(lambda: "--drain-s 60 -> 80" in message(admin, namespace, "UpdateAvailable", "RefreshChangesPods"))
    label(admin, namespace, None)
    message(admin, namespace, "UpdateAvailable", "UpToDate")
    assert template(admin, namespace) == before


@pytest.mark.usefixtures("operator")
def test_a_profile_is_noticed_when_it_is_created_changed_and_deleted(admin: Client, namespace: str) -> None:
    body = minimal(namespace)
    body["spec"]["profile"] = "late"
    admin.create(INFERENCE_SERVICE, body)
    assert "'late', which does not exist" in message(admin, namespace, "Accepted", "UnknownProfile")

    late = admin.create(SERVING_PROFILE, profile("late", drain={"timeoutSeconds": 70}))
    message(admin, namespace, "Accepted", "Accepted")
    before = template(admin, namespace)
    admin.replace(SERVING_PROFILE, late | {"spec": {"drain": {"timeoutSeconds": 90}}})
    assert "--drain-s 70 -> 90" in message(admin, namespace, "UpdateAvailable", "RefreshChangesPods")
    admin.delete(SERVING_PROFILE, "late")
    message(admin, namespace, "Accepted", "AcceptedAsRecorded")
    assert template(admin, namespace) == before


@pytest.mark.usefixtures("operator")
def test_a_service_in_a_namespace_made_a_moment_before_has_its_profile(apiserver: ApiServer, admin: Client) -> None:
    admin.create(SERVING_PROFILE, profile("at-once", drain={"timeoutSeconds": 70}))
    for _ in range(5):
        namespace = apiserver.namespace({names.LABEL_PROFILE: "at-once"})
        admin.create(INFERENCE_SERVICE, minimal(namespace))
        message(admin, namespace, "Accepted", "Accepted")
        assert admin.get(INFERENCE_SERVICE, NAME, namespace)["status"]["effective"]["profile"] == "at-once"
