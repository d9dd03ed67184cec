"""What a user of kubectl meets: defaults, subresources, columns, explanations, and unknown fields."""

import json
import re
from pathlib import Path

import pytest
import yaml

from modelyard.api.kinds import INFERENCE_SERVICE, SERVING_PROFILE
from modelyard.api.service import parse
from modelyard.contract import names
from tests.support.api_client import TABLE, Client, Object, RefusedError, resource_path
from tests.support.apiserver import REPOSITORY, ApiServer
from tests.support.inference_services import FULL_PROFILE, FULL_STATUS, full, minimal, profile


@pytest.fixture
def smollm(admin: Client, namespace: str) -> Object:
    """The smallest InferenceService, as the server holds it."""
    return admin.create(INFERENCE_SERVICE, minimal(namespace))


def manifest(body: Object) -> str:
    """``body`` as the file that a user applies."""
    head = {"apiVersion": INFERENCE_SERVICE.api_version, "kind": INFERENCE_SERVICE.kind}
    return yaml.safe_dump(head | {field: value for field, value in body.items() if field != "status"})


def with_status(client: Client, stored: Object, status: Object) -> Object:
    return client.replace(INFERENCE_SERVICE, stored | {"status": status}, "status")


def stored_anew(client: Client, stored: Object, subresource: str = "") -> Object:
    metadata = stored["metadata"]
    return client.get(INFERENCE_SERVICE, metadata["name"], metadata["namespace"], subresource)


def ready_is(status: str) -> Object:
    return FULL_STATUS | {"conditions": [FULL_STATUS["conditions"][0] | {"status": status}]}


def test_the_smallest_file_is_stored_with_replicas_and_nothing_else_beside_the_model(smollm: Object) -> None:
    assert smollm["spec"] == {"model": {"uri": "s3://models/smollm2-135m"}, "replicas": 1}


def test_the_key_of_a_ca_bundle_is_stored_as_ca_crt_where_none_is_given(admin: Client, namespace: str) -> None:
    body = minimal(namespace)
    body["spec"]["model"]["s3"] = {"endpoint": "https://s3.example.com", "caBundle": {"configMapName": "company-ca"}}
    stored = admin.create(INFERENCE_SERVICE, body, dryRun="All")
    assert stored["spec"]["model"]["s3"]["caBundle"] == {"configMapName": "company-ca", "key": "ca.crt"}


def test_the_operator_reads_every_field_that_the_server_stores(admin: Client, namespace: str) -> None:
    stored = admin.create(INFERENCE_SERVICE, full(namespace))
    assert parse(stored).spec.model_dump(by_alias=True, exclude_unset=True) == stored["spec"]


def test_scale_of_the_smallest_file_is_one_replica(admin: Client, smollm: Object) -> None:
    assert stored_anew(admin, smollm, "scale")["spec"] == {"replicas": 1}


def test_scale_shows_pods_and_selector_once_the_status_is_written(admin: Client, smollm: Object) -> None:
    with_status(admin, smollm, FULL_STATUS)
    assert stored_anew(admin, smollm, "scale")["status"] == {
        "replicas": FULL_STATUS["replicas"],
        "selector": FULL_STATUS["selector"],
    }


def test_a_put_on_scale_changes_the_replicas_and_nothing_else_of_the_spec(admin: Client, smollm: Object) -> None:
    scale = stored_anew(admin, smollm, "scale")
    admin.replace(INFERENCE_SERVICE, scale | {"spec": {"replicas": 3}}, "scale")
    assert stored_anew(admin, smollm)["spec"] == smollm["spec"] | {"replicas": 3}


def test_kubectl_scales_by_the_short_name(apiserver: ApiServer, admin: Client, smollm: Object) -> None:
    apiserver.kubectl("scale", "infsvc/smollm", "--replicas=2", "-n", smollm["metadata"]["namespace"])
    assert stored_anew(admin, smollm)["spec"]["replicas"] == 2


def test_scale_beyond_the_bound_is_refused(admin: Client, smollm: Object) -> None:
    scale = stored_anew(admin, smollm, "scale")
    with pytest.raises(RefusedError, match="should be less than or equal to 1000"):
        admin.replace(INFERENCE_SERVICE, scale | {"spec": {"replicas": 1001}}, "scale")


def test_writing_the_status_changes_no_spec_and_no_generation(admin: Client, smollm: Object) -> None:
    changed = smollm | {"spec": smollm["spec"] | {"replicas": 7}, "status": FULL_STATUS}
    written = admin.replace(INFERENCE_SERVICE, changed, "status")
    assert written["spec"] == smollm["spec"]
    assert written["status"] == FULL_STATUS
    assert written["metadata"]["generation"] == smollm["metadata"]["generation"]


def test_writing_the_spec_changes_no_status_and_counts_a_generation(admin: Client, smollm: Object) -> None:
    stored = with_status(admin, smollm, FULL_STATUS)
    spec = stored["spec"] | {"replicas": 7}
    written = admin.replace(INFERENCE_SERVICE, stored | {"spec": spec, "status": {"replicas": 99}})
    assert written["spec"] == spec
    assert written["status"] == FULL_STATUS
    assert written["metadata"]["generation"] == smollm["metadata"]["generation"] + 1


def test_a_status_in_a_new_object_is_dropped(admin: Client, namespace: str) -> None:
    assert "status" not in admin.create(INFERENCE_SERVICE, full(namespace), dryRun="All")


def test_an_unknown_field_is_refused_by_name(admin: Client, namespace: str) -> None:
    body = minimal(namespace)
    body["spec"]["engine"] = {"arguments": ["--max-model-len=8192"]}
    with pytest.raises(RefusedError, match=re.escape('unknown field "spec.engine.arguments"')):
        admin.create(INFERENCE_SERVICE, body)


def test_an_unknown_field_is_pruned_where_the_client_does_not_request_strictness(admin: Client, namespace: str) -> None:
    body = minimal(namespace)
    body["spec"]["engine"] = {"arguments": ["--max-model-len=8192"]}
    stored = admin.create(INFERENCE_SERVICE, body, fieldValidation="Ignore")
    assert stored["spec"]["engine"] == {}


def test_kubectl_refuses_an_unknown_field_by_default(apiserver: ApiServer, namespace: str) -> None:
    body = minimal(namespace)
    body["spec"]["modle"] = {}
    with pytest.raises(AssertionError, match=re.escape('unknown field "spec.modle"')):
        apiserver.kubectl("apply", "-f", "-", stdin=manifest(body))


@pytest.mark.parametrize("way", [[], ["--server-side"]], ids=["client-side", "server-side"])
@pytest.mark.parametrize("example", [minimal, full])
def test_applying_an_unchanged_file_changes_nothing(
    apiserver: ApiServer, admin: Client, namespace: str, example: type, way: list[str]
) -> None:
    body = example(namespace)
    apiserver.kubectl("apply", *way, "-f", "-", stdin=manifest(body))
    first = stored_anew(admin, body)
    apiserver.kubectl("apply", *way, "-f", "-", stdin=manifest(body))
    assert stored_anew(admin, body)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_the_columns_show_model_engine_readiness_and_counts(admin: Client, smollm: Object) -> None:
    with_status(admin, smollm, FULL_STATUS)
    path = resource_path(INFERENCE_SERVICE, smollm["metadata"]["namespace"])
    table = admin.request("GET", path, accept=TABLE)
    shown = {
        column["name"]: (cell, column["priority"])
        for column, cell in zip(table["columnDefinitions"], table["rows"][0]["cells"], strict=True)
    }
    assert shown.pop("Age")[1] == 0
    assert shown == {
        "Name": ("smollm", 0),
        "Model": ("s3://models/smollm2-135m", 0),
        "Engine": ("vllm", 0),
        "Ready": ("False", 0),
        "Replicas": (1, 0),
        "Desired": (2, 0),
        "URL": ("http://llama.models.svc", 1),
        "Reason": ("ReplicasStarting", 1),
        "Update": (None, 1),
    }


def test_kubectl_waits_for_ready(apiserver: ApiServer, admin: Client, smollm: Object) -> None:
    wait = ("wait", "--for=condition=Ready", "infsvc/smollm", "--timeout=0", "-n", smollm["metadata"]["namespace"])
    stored = with_status(admin, smollm, ready_is("False"))
    with pytest.raises(AssertionError):
        apiserver.kubectl(*wait)
    with_status(admin, stored, ready_is("True"))
    assert "condition met" in apiserver.kubectl(*wait)


def test_two_conditions_of_one_type_are_refused(admin: Client, smollm: Object) -> None:
    condition = FULL_STATUS["conditions"][0]
    with pytest.raises(RefusedError, match="Duplicate value"):
        with_status(admin, smollm, FULL_STATUS | {"conditions": [condition, condition]})


def test_two_engine_variables_of_one_name_are_refused(admin: Client, namespace: str) -> None:
    body = minimal(namespace)
    body["spec"]["engine"] = {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}
    with pytest.raises(RefusedError, match="Duplicate value"):
        admin.create(INFERENCE_SERVICE, body)


def test_the_kind_has_its_short_name_and_its_category_but_is_not_among_all(admin: Client) -> None:
    listed = admin.request("GET", f"/apis/{names.API_VERSION}")["resources"]
    [resource] = [resource for resource in listed if resource["name"] == names.PLURAL]
    assert resource["shortNames"] == [names.SHORT_NAME]
    assert resource["categories"] == [names.APPLICATION]


def test_kubectl_explains_a_field_in_the_types_words(apiserver: ApiServer) -> None:
    explained = apiserver.kubectl("explain", "infsvc.spec.model")
    assert "The model to serve, and where it comes from." in explained
    assert re.search(r"uri\s+<string> -required-\n\s+Location of the model", explained)


def test_the_crd_is_accepted_as_structural_with_its_names(admin: Client) -> None:
    stored = admin.request(
        "GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{names.PLURAL}.{names.GROUP}"
    )
    conditions = {condition["type"]: condition["status"] for condition in stored["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_the_crd_fits_into_the_annotation_of_a_client_side_apply(admin: Client) -> None:
    stored = admin.request(
        "GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{names.PLURAL}.{names.GROUP}"
    )
    assert len(json.dumps(stored["spec"])) < 256 * 1024


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "examples" / "profiles").glob("*.yaml")), ids=lambda path: path.stem
)
def test_an_example_profile_is_accepted_and_is_the_same_when_applied_again(apiserver: ApiServer, path: Path) -> None:
    assert "created" in apiserver.kubectl("apply", "-f", str(path))
    assert "unchanged" in apiserver.kubectl("apply", "-f", str(path))


def test_the_columns_of_a_profile_show_what_it_gives(apiserver: ApiServer, admin: Client) -> None:
    admin.create(SERVING_PROFILE, profile("with-columns"))
    shown = apiserver.kubectl("get", "servingprofile", "with-columns", "-o", "wide").splitlines()
    assert shown[0].split() == ["NAME", "ENGINE", "VERSION", "ACCELERATOR", "COUNT", "AGE", "IMAGE"]
    image = FULL_PROFILE["engine"]["image"]
    assert re.fullmatch(rf"with-columns +vllm +0\.32\.0 +nvidia +2 +\S+ +{re.escape(image)} *", shown[1])
