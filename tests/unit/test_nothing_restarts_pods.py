"""Nothing restarts a GPU fleet but its user: pods are rendered from what their Deployment records.

Each test renders a Deployment, changes something, and renders it again as the next reconcile would.
"""

import json
from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.api.settings import AcceleratorType, ContainerResources, EngineImage, FetchProxy, PodSecurity, Settings
from modelyard.contract import names
from modelyard.desired import desired
from modelyard.desired.template_record import RENDERING, recorded
from tests.support.factories import service
from tests.support.rendering import deployment, resolved, with_rendering

FORMER = EngineImage(engine="vllm", version="0.31.0", accelerator="nvidia", image="vllm:v0.31.0")
OLD = Settings(fetch_image="fetch:1", images=(*Settings.model_fields["images"].default, FORMER))
NEW = Settings(
    fetch_image="fetch:2",
    default_versions={"vllm": "0.40.0"},
    images=(
        FORMER,
        EngineImage(engine="vllm", version="0.40.0", accelerator="nvidia", image="vllm:v0.40.0"),
        EngineImage(engine="vllm", version="0.32.0", accelerator="nvidia", image="mirror/vllm:v0.32.0"),
        EngineImage(engine="vllm", version="0.40.0", accelerator="cpu", image="vllm-cpu:v0.40.0"),
    ),
    accelerators={
        "nvidia": AcceleratorType(resource="example.com/gpu", product_label="example.com/product"),
        "cpu": AcceleratorType(),
    },
    pod_security=PodSecurity(run_as_user=1000, run_as_group=1000, fs_group=1000),
    fetch_proxy=FetchProxy(url="http://proxy:3128"),
    startup_timeout_s=60,
    drain_s=30,
    propagation_pause_s=5,
    fetch_resources=ContainerResources(requests={"cpu": "1"}),
)


def _template(child: Object) -> Object:
    template: Object = child["spec"]["template"]
    return template


def _fetch_image(child: Object) -> str:
    return str(_template(child)["spec"]["initContainers"][0]["image"])


@pytest.mark.parametrize("field", sorted(NEW.model_fields_set))
def test_a_changed_setting_changes_nothing(field: str) -> None:
    changed = OLD.model_copy(update={field: getattr(NEW, field)})
    present = deployment(service(), OLD)
    assert deployment(service(), changed, present) == present


def test_all_settings_changed_at_once_change_nothing() -> None:
    present = deployment(service(), OLD)
    assert deployment(service(), NEW, present) == present
    assert deployment(service(), NEW) != present


def test_other_defaults_change_nothing() -> None:
    present = deployment(service(), OLD)
    changed = NEW.model_copy(update={"default_accelerator": "cpu", "default_engine": "triton"})
    assert deployment(service(), changed, present) == present


def test_a_changed_argument_takes_the_present_settings() -> None:
    present = deployment(service(), OLD)
    changed = deployment(service(engine={"args": ["--max-model-len=1"]}), NEW, present)
    assert _fetch_image(changed) == "fetch:2"
    assert _template(changed)["spec"]["containers"][0]["image"] == "vllm:v0.40.0"


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": {"version": "0.31.0"}},
        {"engine": {"image": "mine:v1.0"}},
        {"accelerator": {"type": "cpu"}},
        {"accelerator": {"count": 2}},
        {"drain": {"timeoutSeconds": 61}},
        {"startup": {"timeoutSeconds": 1700}},
        {"serviceAccountName": "reader"},
        {"imagePullSecrets": [{"name": "registry"}]},
        {"accelerator": {"product": ["NVIDIA-A10G"]}},
        {"podTemplate": {"metadata": {"labels": {"team": "search"}}}},
        {"podTemplate": {"spec": {"priorityClassName": "serving"}}},
        {"resources": {"requests": {"cpu": 1}}},
        {"model": {"uri": "s3://models/smollm2-135m", "revision": "2"}},
    ],
)
def test_a_changed_field_of_the_template_takes_the_present_settings_also_when_it_is_removed_again(
    spec: dict[str, Any],
) -> None:
    plain = deployment(service(), OLD)
    changed = deployment(service(**spec), OLD, plain)
    assert _template(changed) != _template(plain)
    assert _fetch_image(deployment(service(**spec), NEW, plain)) == "fetch:2"
    assert deployment(service(), OLD, changed) == plain
    assert _fetch_image(deployment(service(), NEW, changed)) == "fetch:2"


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": {"type": "vllm", "version": "0.32.0"}},
        {"accelerator": {"type": "nvidia", "count": 1, "resource": "nvidia.com/gpu"}},
        {"drain": {"timeoutSeconds": 60}, "startup": {"timeoutSeconds": 1800}},
    ],
)
def test_writing_down_what_already_runs_restarts_nothing(spec: dict[str, Any]) -> None:
    present = deployment(service(), OLD)
    assert deployment(service(**spec), NEW, present) == present


def test_another_number_of_replicas_leaves_the_template_alone() -> None:
    present = deployment(service(replicas=1), OLD)
    scaled = deployment(service(replicas=5), NEW, present)
    assert scaled["spec"]["replicas"] == 5
    assert _template(scaled) == _template(present)


def test_a_refresh_takes_the_present_settings_once() -> None:
    present = deployment(service(), OLD)
    body = service(annotations={names.ANNOTATION_REFRESH: "1"})
    refreshed = deployment(body, NEW, present)
    assert _fetch_image(refreshed) == "fetch:2"
    assert deployment(body, OLD, refreshed) == refreshed


def test_a_refresh_annotation_that_is_taken_away_changes_nothing() -> None:
    body = service(annotations={names.ANNOTATION_REFRESH: "1"})
    present = deployment(body, OLD)
    without = deployment(service(), NEW, present)
    assert without == present
    assert deployment(body, NEW, without) == present


def test_a_refresh_with_nothing_new_restarts_nothing() -> None:
    present = deployment(service(), OLD)
    refreshed = deployment(service(annotations={names.ANNOTATION_REFRESH: "1"}), OLD, present)
    assert _template(refreshed) == _template(present)
    assert refreshed != present


def test_ids_that_the_cluster_assigns_stay_assigned_by_it() -> None:
    assigned = OLD.model_copy(update={"pod_security": PodSecurity(run_as_user=None, run_as_group=None, fs_group=None)})
    present = deployment(service(), assigned)
    assert deployment(service(), OLD, present) == present


@pytest.mark.parametrize("annotation", ["", "{", "[]", '{"template": "x"}', '{"template": "x", "inputs": {}}'])
def test_an_unreadable_record_counts_as_none(annotation: str) -> None:
    assert recorded({"metadata": {"annotations": {names.ANNOTATION_INPUTS: annotation}}}) is None


@pytest.mark.parametrize("child", [None, {}, {"metadata": {}}, {"metadata": {"annotations": None}}])
def test_a_deployment_without_a_record_has_none(child: Object | None) -> None:
    assert recorded(child) is None


def test_a_record_of_a_newer_operator_is_read_as_far_as_it_is_known() -> None:
    present = deployment(service(), OLD)
    record = json.loads(present["metadata"]["annotations"][names.ANNOTATION_INPUTS])
    record["later"] = record["inputs"]["later"] = record["inputs"]["pod_security"]["later"] = 1
    present["metadata"]["annotations"][names.ANNOTATION_INPUTS] = json.dumps(record)
    assert _fetch_image(deployment(service(), NEW, present)) == "fetch:1"


def test_services_of_a_former_form_of_template_keep_it_until_they_change() -> None:
    former = with_rendering(resolved(service(), OLD), RENDERING - 1)
    present = next(child for child in desired(former) if kinds.of(child) == kinds.DEPLOYMENT)
    kept = resolved(service(replicas=2), NEW, present)
    changed = resolved(service(engine={"args": ["--max-model-len=1"]}), NEW, present)
    assert (kept.lead.inputs.rendering, changed.lead.inputs.rendering) == (RENDERING - 1, RENDERING)


def test_a_record_of_another_template_is_not_used() -> None:
    present = deployment(service(), OLD)
    record = json.loads(present["metadata"]["annotations"][names.ANNOTATION_INPUTS])
    record["template"] = "0000000000000000"
    present["metadata"]["annotations"][names.ANNOTATION_INPUTS] = json.dumps(record)
    assert _fetch_image(deployment(service(), NEW, present)) == "fetch:2"


def test_a_service_goes_on_when_the_settings_lose_its_image() -> None:
    present = deployment(service(), OLD)
    assert deployment(service(), NEW.model_copy(update={"images": ()}), present) == present


def test_the_record_holds_only_what_the_service_uses() -> None:
    inputs = resolved(service(), NEW).lead.inputs
    assert [row.image for row in inputs.images] == ["vllm:v0.40.0"]
    assert list(inputs.accelerators) == ["nvidia"]


@pytest.mark.parametrize("field", ["fetch_resources", "product_label"])
def test_a_setting_that_older_operators_did_not_have_is_in_no_record_that_does_not_need_it(field: str) -> None:
    assert field not in deployment(service(), OLD)["metadata"]["annotations"][names.ANNOTATION_INPUTS]


def test_the_label_of_products_is_kept_where_they_are_chosen() -> None:
    body = service(accelerator={"product": ["NVIDIA-A10G"]})
    other = AcceleratorType(resource="nvidia.com/gpu", taints=("nvidia.com/gpu",), product_label="example.com/gpu")
    present = deployment(body, OLD)
    changed = OLD.model_copy(update={"accelerators": {"nvidia": other}})
    assert deployment(body, changed, present) == present
    assert "example.com/gpu" in json.dumps(_template(deployment(body, changed)))


def test_labels_of_the_service_leave_the_pods_alone() -> None:
    present = deployment(service(), OLD)
    assert deployment(service(service={"labels": {"team": "search"}}), NEW, present) == present
