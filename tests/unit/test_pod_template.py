"""A user's podTemplate: what it may set, what is refused by name, and what it never reaches."""

import re
from typing import Any

import pytest

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.contract.errors import InvalidError
from modelyard.desired import pod_template
from tests.support.factories import service
from tests.support.rendering import deployment, pod_spec

CREDENTIALS = {"uri": "s3://models/a", "credentials": {"secretName": "s"}}


def _with(spec: Object, **fields: Any) -> Object:
    return service(podTemplate={"spec": spec}, **fields)


def _engine(**fields: Any) -> Object:
    return {"containers": [{"name": "engine", **fields}]}


def _fetcher(**fields: Any) -> Object:
    return {"initContainers": [{"name": "modelyard-fetch", **fields}]}


def _neighbour(**fields: Any) -> Object:
    return {"containers": [{"name": "proxy", "image": "p", **fields}]}


@pytest.mark.parametrize("field", pod_template.POD_FIELDS)
def test_a_field_that_would_break_the_pod_is_refused_by_name_with_the_reason(field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        pod_spec(_with({field: None}))
    assert refused.value.reason == "PodTemplateRefused"
    why = pod_template.POD_FIELDS[field]
    assert refused.value.message == f"spec.podTemplate.spec.{field} must not be set: {why}. Remove it."


@pytest.mark.parametrize("field", pod_template.ENGINE_FIELDS)
def test_a_field_that_would_break_the_engine_is_refused_by_name(field: str) -> None:
    place = re.escape(f"containers[engine].{field}")
    with pytest.raises(InvalidError, match=f"{place} must not be set: ..."):
        pod_spec(_with(_engine(**{field: "x"})))


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        (_engine(resources={"limits": {"cpu": 1}}), "containers[engine].resources.limits"),
        (_engine(resources={"requests": None}), "containers[engine].resources.requests"),
        (_engine(resources={"$patch": "replace"}), "containers[engine].resources.$patch"),
        (_fetcher(**{"$patch": "replace"}), "initContainers[modelyard-fetch].$patch"),
        (_engine(env=[{"name": "POD_UID", "value": "x"}]), "containers[engine].env[POD_UID]"),
        (_engine(ports=[{"containerPort": 8000, "name": "web"}]), "containers[engine].ports[web]"),
        (_engine(ports=[{"containerPort": 1, "name": "http"}]), "containers[engine].ports[http]"),
        (_engine(volumeMounts=[{"name": "x", "mountPath": "/model"}]), "containers[engine].volumeMounts[/model]"),
        (_engine(volumeMounts=[{"name": "x", "mountPath": "/model/"}]), "containers[engine].volumeMounts[/model/]"),
        (_engine(volumeMounts=[{"name": "x", "mountPath": "/model/a"}]), "containers[engine].volumeMounts[/model/a]"),
        (_engine(volumeMounts=[{"name": "x", "mountPath": "/tmp/"}]), "containers[engine].volumeMounts[/tmp/]"),
        (_fetcher(image="mine"), "initContainers[modelyard-fetch].image"),
        (_fetcher(env=[]), "initContainers[modelyard-fetch].env"),
        (_fetcher(command=["true"]), "initContainers[modelyard-fetch].command"),
        (_fetcher(restartPolicy="Always"), "initContainers[modelyard-fetch].restartPolicy"),
        (_neighbour(ports=[{"containerPort": 8000}]), "containers[proxy].ports[8000]"),
        (_neighbour(ports=[{"containerPort": 9470}]), "containers[proxy].ports[9470]"),
        (_neighbour(ports=[{"containerPort": 1, "name": "http"}]), "containers[proxy].ports[http]"),
        (_neighbour(volumeMounts=[{"name": "cache", "mountPath": "/x"}]), "containers[proxy].volumeMounts[/x]"),
        (
            _neighbour(volumeMounts=[{"name": "launcher", "mountPath": "/x", "readOnly": False}]),
            "containers[proxy].volumeMounts[/x]",
        ),
        ({"volumes": [{"name": "cache", "emptyDir": {"medium": "Memory"}}]}, "volumes[cache]"),
        ({"volumes": [{"name": "launcher", "hostPath": {"path": "/"}}]}, "volumes[launcher]"),
        ({"volumes": [{"name": "credentials", "secret": {}}]}, "volumes[credentials]"),
    ],
)
def test_what_the_service_lives_by_is_refused_with_its_place(spec: Object, place: str) -> None:
    with pytest.raises(InvalidError) as refused:
        pod_spec(_with(spec, model=CREDENTIALS))
    assert refused.value.message.startswith(f"spec.podTemplate.spec.{place} must not be set: ")


@pytest.mark.parametrize(
    "spec",
    [
        _engine(resources={"claims": [{"name": "gpu"}]}),
        _engine(volumeMounts=[{"name": "x", "mountPath": "/home/modelyard/.cache/huggingface"}]),
        _engine(volumeMounts=[{"name": "x", "mountPath": "/models"}]),
        _engine(ports=[{"containerPort": 8001, "name": "extra"}]),
        _fetcher(resources={"limits": {"memory": "512Mi"}}, imagePullPolicy="Always", securityContext={}),
        _neighbour(volumeMounts=[{"name": "cache", "mountPath": "/x", "readOnly": True}]),
        {"volumes": [{"name": "home", "emptyDir": {"sizeLimit": "9Gi"}}]},
        {"tolerations": [], "nodeSelector": {}, "affinity": {}},
        {"containers": [], "initContainers": [], "volumes": []},
    ],
)
def test_what_leaves_the_service_whole_is_accepted(spec: Object) -> None:
    rendered = pod_spec(_with(spec))
    assert rendered["containers"][0]["name"] == "engine"
    assert rendered["initContainers"][0]["name"] == "modelyard-fetch"


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "proxy", "ports": "x", "volumeMounts": 1, "env": {}}]},
        {"containers": [{"name": "proxy", "ports": [{"containerPort": {}, "name": []}]}]},
        {"containers": [1, None, "x"]},
        {"containers": [{"name": {"a": 1}}]},
        {"volumes": [{"name": ["cache"]}]},
        {"volumes": {}},
        {"initContainers": [{"name": "modelyard-fetch", "resources": "x"}]},
        {"containers": [{"name": "engine", "resources": 3, "volumeMounts": [{"mountPath": {}}]}]},
        {"securityContext": "root"},
        {"imagePullSecrets": ["a"]},
        {"containers": None},
        {"initContainers": None},
        {"volumes": None},
        _engine(env=None),
        _engine(volumeMounts=None),
        _engine(resources=None),
    ],
)
def test_nonsense_is_refused_and_never_an_error_of_ours(spec: Object) -> None:
    with pytest.raises(InvalidError) as refused:
        pod_spec(_with(spec))
    assert refused.value.reason == "PodTemplateRefused"


def test_a_template_beyond_the_bound_is_refused_with_both_sizes() -> None:
    longest = "x" * (pod_template.LONGEST_BYTES - len('{"hostname": ""}'))
    assert pod_spec(_with({"hostname": longest}))["hostname"] == longest
    with pytest.raises(InvalidError, match=r"32769 bytes as JSON; the limit is 32768\. Put large contents in a"):
        pod_spec(_with({"hostname": longest + "x"}))


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


def test_a_template_that_is_nested_beyond_all_reason_is_refused_before_anything_recurses() -> None:
    assert pod_spec(_with({"x": _nested(15)}))["x"]
    for levels in (16, 100_000):
        with pytest.raises(InvalidError, match="nested more than 32 levels"):
            pod_spec(_with({"x": _nested(levels)}))


def test_labels_that_choose_pods_stay_ours_whatever_the_server_let_through() -> None:
    wrong = {names.LABEL_SERVICE: "another", names.LABEL_APP_MANAGED_BY: "me", "team": "search"}
    template = {"metadata": {"labels": wrong, "annotations": {names.ANNOTATION_TEMPLATE: "x", "a": "b"}}}
    plain = deployment(service())["spec"]["template"]["metadata"]
    rendered = deployment(service(podTemplate=template))["spec"]["template"]["metadata"]
    assert rendered["labels"] == plain["labels"] | {"team": "search"}
    assert rendered["annotations"]["a"] == "b"
    assert rendered["annotations"][names.ANNOTATION_TEMPLATE] not in (
        "x",
        plain["annotations"][names.ANNOTATION_TEMPLATE],
    )


def test_an_empty_template_changes_nothing() -> None:
    assert deployment(service(podTemplate={})) == deployment(service())
    assert deployment(service(podTemplate={"spec": {}, "metadata": {"labels": {}}})) == deployment(service())


def test_another_annotation_of_the_pods_is_another_template() -> None:
    def hash_of(value: str) -> str:
        annotations = deployment(service(podTemplate={"metadata": {"annotations": {"mesh": value}}}))["spec"][
            "template"
        ]
        return str(annotations["metadata"]["annotations"][names.ANNOTATION_TEMPLATE])

    assert hash_of("on") != hash_of("off")


PRODUCTS: Object = {"accelerator": {"product": ["NVIDIA-A10G"]}}
PRODUCT = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-A10G"]}


def _terms(affinity: Object) -> list[Object]:
    terms: list[Object] = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    return terms


def test_a_product_is_required_of_the_node() -> None:
    assert _terms(pod_spec(service(**PRODUCTS))["affinity"]) == [{"matchExpressions": [PRODUCT]}]


def test_each_of_the_users_terms_for_nodes_gets_the_product_and_other_affinity_stays() -> None:
    pool = {"key": "pool", "operator": "Exists"}
    affinity = {
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [pool]}, {"matchFields": []}]
            }
        },
    }
    rendered = pod_spec(_with({"affinity": affinity}, **PRODUCTS))["affinity"]
    assert _terms(rendered) == [
        {"matchExpressions": [pool, PRODUCT]},
        {"matchFields": [], "matchExpressions": [PRODUCT]},
    ]
    assert rendered["podAntiAffinity"] == affinity["podAntiAffinity"]


@pytest.mark.parametrize(
    "affinity",
    [
        "x",
        {"nodeAffinity": []},
        {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": "x"}}},
        {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [1]}}},
    ],
)
def test_terms_for_nodes_that_are_none_are_refused(affinity: Any) -> None:
    with pytest.raises(InvalidError, match=r"affinity\.nodeAffinity is malformed"):
        pod_spec(_with({"affinity": affinity}, **PRODUCTS))


def test_every_key_that_we_write_is_one_that_users_are_refused() -> None:
    child = deployment(service())
    metadata = [child["metadata"], child["spec"]["template"]["metadata"]]
    written = {key for part in metadata for field in ("labels", "annotations") for key in part[field]}
    assert {key for key in written if not key.startswith(f"{names.GROUP}/")} == set(names.RECOMMENDED_LABELS)
