"""The Job that prefetches: its pods fetch as the service's do, serve nothing, and are taken for none of them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.api.settings import Settings
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired import desired
from modelyard.prefetch import job as prefetch_job
from modelyard.prefetch.round import Request, Round, round_of
from tests.support.factories import service
from tests.support.inference_services import FULL_SPEC
from tests.support.prefetching import hosts, job_for, prefetching_service
from tests.support.rendering import SETTINGS, deployment, resolved

ROUND = Round(fingerprint="x", hosts=("gpu-1", "gpu-2"), count=2, planned=datetime(2026, 11, 22, tzinfo=UTC))
EPHEMERAL = {"cache": {"prefetch": 2}}
SIDECAR = {"name": "proxy", "image": "registry.example.com/proxy:1"}


def children(body: Object, settings: Settings = SETTINGS) -> dict[str, Object]:
    rendered = desired(resolved(body, settings))
    if request(body, settings):
        rendered.append(job_for(body, ROUND, settings))
    return {child["kind"]: child for child in rendered}


def request(body: Object, settings: Settings = SETTINGS, present: Object | None = None) -> Request | None:
    return prefetch_job.request(resolved(body, settings, present))


def job(**spec: Any) -> Object:
    return children(prefetching_service(**spec))["Job"]


def pod_spec(**spec: Any) -> Object:
    found: Object = job(**spec)["spec"]["template"]["spec"]
    return found


def fingerprint(**spec: Any) -> str:
    found = request(prefetching_service(**spec))
    assert found is not None
    return found.fingerprint


def with_pod_template(**fields: Any) -> Object:
    return {"podTemplate": {"spec": fields}}


def test_a_service_that_requests_nothing_gets_nothing() -> None:
    assert request(prefetching_service(None)) is None


def test_its_pods_fetch_exactly_as_the_services_pods_do() -> None:
    secrets = {"uri": "s3://models/a", "revision": "7", "credentials": {"secretName": "s3-read"}}
    both = children(
        prefetching_service(model=secrets, serviceAccountName="reader", imagePullSecrets=[{"name": "registry"}])
    )
    of_the_service, of_the_job = (both[kind]["spec"]["template"]["spec"] for kind in ("Deployment", "Job"))
    [fetch] = of_the_service["initContainers"]
    fetch["env"] = [entry for entry in fetch["env"] if entry["name"] != names.ENV_COMPILE_KEY]
    assert of_the_job["initContainers"] == [fetch]
    for field in ("securityContext", "serviceAccountName", "imagePullSecrets", "automountServiceAccountToken"):
        assert of_the_job[field] == of_the_service[field]
    mounted = {mount["name"] for mount in of_the_job["initContainers"][0]["volumeMounts"]}
    assert of_the_job["volumes"] == [volume for volume in of_the_service["volumes"] if volume["name"] in mounted]
    assert {volume["name"] for volume in of_the_job["volumes"]} == mounted


def test_the_container_of_the_engine_pulls_its_image_and_ends() -> None:
    [container] = pod_spec(engine={"image": "registry.example.com/vllm:1", "args": ["--x=1"]})["containers"]
    assert container["image"] == "registry.example.com/vllm:1"
    assert container["command"] == ["python3", "-S", "-c", "pass"]
    assert set(container) == {"name", "image", "command", "resources", "securityContext"}


def test_no_accelerator_is_requested_and_nothing_that_a_node_must_make_room_for() -> None:
    spec = pod_spec(resources={"requests": {"cpu": 32, "memory": "256Gi"}}, accelerator={"count": 8})
    resources = [container["resources"] for container in spec["containers"]]
    assert resources == [prefetch_job.SMALL]
    assert "nvidia.com/gpu" not in str(spec["initContainers"])


@pytest.mark.parametrize(
    "fields",
    [
        {"containers": [SIDECAR]},
        {"initContainers": [SIDECAR]},
        {"priorityClassName": "serving"},
        {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]},
        {"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}]},
        {"volumes": [{"name": "scratch", "emptyDir": {}}]},
        {"affinity": {"podAffinity": {}}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_a_podtemplate_adds_for_serving_does_not_reach_its_pods(fields: Object) -> None:
    assert pod_spec(**with_pod_template(**fields)) == pod_spec()


@pytest.mark.parametrize(
    "fields",
    [
        {"nodeSelector": {"disk": "nvme"}},
        {"runtimeClassName": "nvidia"},
        {"schedulerName": "other"},
        {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["store"]}]},
        {"dnsConfig": {"searches": ["example.com"]}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_a_podtemplate_sets_for_nodes_and_networks_reaches_its_pods(fields: Object) -> None:
    assert fields.items() <= pod_spec(**with_pod_template(**fields)).items()


def test_each_of_a_users_terms_for_nodes_holds_beside_the_chosen_nodes() -> None:
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in "ab"]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    affinity = pod_spec(**with_pod_template(affinity={"nodeAffinity": required}))["affinity"]["nodeAffinity"]
    found = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    chosen = {"key": names.LABEL_HOSTNAME, "operator": "In", "values": ["gpu-1", "gpu-2"]}
    assert found == [{"matchExpressions": [*term["matchExpressions"], chosen]} for term in terms]


@pytest.mark.parametrize("affinity", ["nvme", {"nodeAffinity": []}])
def test_terms_for_nodes_that_are_none_are_refused_by_name(affinity: Any) -> None:
    with pytest.raises(InvalidError, match=r"spec\.podTemplate\.spec\.affinity\.nodeAffinity") as refused:
        resolved(prefetching_service(**with_pod_template(affinity=affinity)))
    assert refused.value.reason == "PodTemplateRefused"


def test_its_pods_are_not_taken_for_the_services() -> None:
    both = children(prefetching_service(networkPolicy={"from": []}))
    labels = both["Job"]["spec"]["template"]["metadata"]["labels"]
    assert labels[names.LABEL_SERVICE] == "smollm"
    for selector in (
        both["Service"]["spec"]["selector"],
        both["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        both["Deployment"]["spec"]["selector"]["matchLabels"],
    ):
        assert not selector.items() <= labels.items()
    assert names.ANNOTATION_TEMPLATE not in both["Job"]["spec"]["template"]["metadata"]["annotations"]


def test_a_network_policy_holds_for_its_pods_too_where_there_are_such() -> None:
    alone, with_prefetch = (
        children(prefetching_service(prefetch, networkPolicy={"from": []}))["NetworkPolicy"]["spec"]["podSelector"]
        for prefetch in (None, 2)
    )
    assert alone == {"matchLabels": {names.LABEL_SERVICE: "smollm", names.LABEL_APP_COMPONENT: "engine"}}
    assert with_prefetch["matchLabels"] == {names.LABEL_SERVICE: "smollm"}
    assert with_prefetch["matchExpressions"] == [
        {"key": names.LABEL_APP_COMPONENT, "operator": "In", "values": ["engine", "prefetch"]}
    ]


def test_a_job_that_is_over_stays_as_what_is_remembered() -> None:
    assert "ttlSecondsAfterFinished" not in job()["spec"]


def test_the_job_states_what_it_is_for() -> None:
    assert round_of(job()) == ROUND
    assert (job()["spec"]["completions"], job()["spec"]["parallelism"]) == (2, 2)
    assert hosts(job()) == ["gpu-1", "gpu-2"]


@pytest.mark.parametrize("annotation", ["", "{}", "[1]", '{"fingerprint": 1}'])
def test_a_job_whose_purpose_cannot_be_read_is_for_nothing(annotation: str) -> None:
    body = job()
    body["metadata"]["annotations"][names.ANNOTATION_ROUND] = annotation
    assert round_of(body) is None
    assert round_of(None) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"uri": "s3://models/other"}},
        {"model": {"uri": "s3://models/smollm2-135m", "revision": "2"}},
        {"model": {"uri": "s3://models/smollm2-135m", "credentials": {"secretName": "other"}}},
        {"engine": {"image": "registry.example.com/vllm:2"}},
        {"prefetch": 3},
        {"selector": {"pool": "gpu"}},
    ],
    ids=str,
)
def test_another_content_image_or_number_is_another_thing_to_bring(spec: Object) -> None:
    assert fingerprint(**spec) != fingerprint()


@pytest.mark.parametrize(
    "spec", [{"replicas": 9}, {"drain": {"timeoutSeconds": 9}}, {"engine": {"args": ["--max-model-len=8"]}}], ids=str
)
def test_what_only_serving_reads_is_nothing_else_to_bring(spec: Object) -> None:
    assert fingerprint(**spec) == fingerprint()


def test_pods_that_keep_their_model_to_themselves_are_a_reason_to_refuse_with_the_cure() -> None:
    body = prefetching_service(2)
    body["spec"] |= EPHEMERAL
    with pytest.raises(InvalidError, match=r"set spec\.cache\.medium to NodeLocal") as refused:
        request(body)
    assert refused.value.reason == "InvalidSpec"
    node_local = SETTINGS.model_copy(update={"cache_medium": "NodeLocal"})
    assert request(body, node_local) is not None


def test_requesting_it_replaces_no_pods_whatever_the_settings_are_by_now() -> None:
    before = deployment(service())
    body = prefetching_service(2)
    body["spec"] |= EPHEMERAL
    node_local = SETTINGS.model_copy(update={"cache_medium": "NodeLocal"})
    with pytest.raises(InvalidError, match="which replaces the pods"):
        request(body, node_local, before)


def test_requesting_it_changes_no_pod_template() -> None:
    assert deployment(prefetching_service(2)) == deployment(prefetching_service(None))


def test_a_mounted_model_is_not_brought_anywhere() -> None:
    body = prefetching_service(2)
    body["spec"]["model"] = {"uri": "pvc://models/llama"}
    with pytest.raises(InvalidError):
        request(body)


def test_a_service_that_uses_every_field_is_rendered() -> None:
    body = prefetching_service()
    body["spec"] |= {**FULL_SPEC, "profile": None, "engine": {**FULL_SPEC["engine"], "triton": None}}
    assert kinds.of(job_for(body, ROUND)) == kinds.JOB
