"""A user's podTemplate before a real API server: stored as written, applied without drift, refused where wrong."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.kinds import INFERENCE_SERVICE
from modelyard.controller.reconcile.drift import differing_field
from modelyard.desired import desired
from tests.support import rendering
from tests.support.api_client import Client, Object, RefusedError, resource_path
from tests.support.apiserver import ApiServer
from tests.support.eventually import eventually
from tests.support.factories import service
from tests.support.golden_cases import CASES, read
from tests.support.inference_services import minimal
from tests.support.program import Program, ready

STORED_OTHERWISE: Object = {
    "hostIPC": False,
    "setHostnameAsFQDN": False,
    "overhead": {"cpu": "0.5"},
    "priorityClassName": "",
    "nodeSelector": {},
    "volumes": [
        {"name": "a", "emptyDir": {"sizeLimit": "1024Mi"}},
        {"name": "b", "secret": {"secretName": "s", "defaultMode": 256, "optional": False}},
        {"name": "c", "nfs": {"server": "store", "path": "/", "readOnly": False}},
    ],
    "containers": [
        {"name": "engine", "env": [{"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]},
        {
            "name": "proxy",
            "image": "p",
            "tty": False,
            "stdin": False,
            "command": [],
            "env": [
                {"name": "EMPTY", "value": ""},
                {"name": "MIB", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": 1}}},
            ],
            "ports": [{"containerPort": 1, "hostPort": 0}],
            "resources": {"limits": {"cpu": 1, "memory": "0.5Gi"}, "requests": {}},
            "securityContext": {},
            "volumeMounts": [{"name": "a", "mountPath": "/a", "readOnly": False}],
            "startupProbe": {
                "tcpSocket": {"port": 1},
                "initialDelaySeconds": 0,
                "timeoutSeconds": 0,
                "successThreshold": 0,
            },
        },
    ],
}
"""Values that the API server drops, rewrites or replaces by a default of its own."""


@pytest.fixture(scope="module")
def operator(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with ready(apiserver, tmp_path_factory.mktemp("operator")) as program:
        yield program


def with_template(namespace: str, spec: Any, name: str = "smollm") -> Object:
    body = minimal(namespace, name)
    body["spec"]["podTemplate"] = {"spec": spec}
    return body


def test_what_is_applied_is_no_drift_afterwards(admin: Client, namespace: str) -> None:
    body = service(podTemplate={"spec": STORED_OTHERWISE})
    body["metadata"] |= {"namespace": namespace, "uid": "uid", "generation": 1}
    rendered = rendering.deployment(body)
    stored = admin.apply(kinds.DEPLOYMENT, rendered, "modelyard")
    assert differing_field(rendered, stored) is None


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_no_child_of_a_golden_case_is_drift_once_it_is_applied(admin: Client, namespace: str, path: Path) -> None:
    case = read(path)
    case["body"]["metadata"]["namespace"] = namespace
    for rendered in desired(rendering.resolved(**case)):
        stored = admin.apply(kinds.of(rendered), rendered, "modelyard")
        assert differing_field(rendered, stored) is None, rendered["kind"]


def test_a_template_is_stored_as_it_was_written_nulls_and_unknown_fields_too(admin: Client, namespace: str) -> None:
    spec = {"priorityClassNam": "x", "containers": [{"name": "engine", "resources": {"limits": {"cpu": None}}}]}
    stored = admin.create(INFERENCE_SERVICE, with_template(namespace, spec))
    assert stored["spec"]["podTemplate"] == {"spec": spec}


@pytest.mark.parametrize(
    ("template", "unknown"),
    [
        ({"sepc": {}}, "spec.podTemplate.sepc"),
        ({"metadata": {"finalizers": ["a/b"]}}, "spec.podTemplate.metadata.finalizers"),
        ({"metadata": {"name": "x"}}, "spec.podTemplate.metadata.name"),
    ],
)
def test_what_a_template_of_pods_does_not_have_is_refused_at_once(
    admin: Client, namespace: str, template: Object, unknown: str
) -> None:
    body = minimal(namespace)
    body["spec"]["podTemplate"] = template
    with pytest.raises(RefusedError, match=f'unknown field "{unknown}"'):
        admin.create(INFERENCE_SERVICE, body)


def accepted(admin: Client, namespace: str) -> Object | None:
    """The condition, once it speaks of the present spec."""
    body = admin.get(INFERENCE_SERVICE, "smollm", namespace)
    conditions = body.get("status", {}).get("conditions", [])
    return next(
        (
            condition
            for condition in conditions
            if condition["type"] == "Accepted" and condition["observedGeneration"] == body["metadata"]["generation"]
        ),
        None,
    )


@pytest.mark.parametrize(
    ("spec", "reason", "named"),
    [
        ({"priorityClassNam": "x"}, "PodTemplateInvalid", ".spec.template.spec.priorityClassNam: field not declared"),
        ({"nodeSelector": {"a": 1}}, "PodTemplateInvalid", ".spec.template.spec.nodeSelector.a: expected string"),
        (
            {"containers": [{"name": "proxy"}]},
            "PodTemplateInvalid",
            "spec.template.spec.containers[1].image: Required value",
        ),
        ({"nodeName": "gpu-1"}, "PodTemplateRefused", "spec.podTemplate.spec.nodeName must not be set"),
    ],
)
@pytest.mark.usefixtures("operator")
def test_a_wrong_template_is_reported_by_name_changes_nothing_and_its_cure_is_applied(
    admin: Client, namespace: str, spec: Object, reason: str, named: str
) -> None:
    admin.create(INFERENCE_SERVICE, minimal(namespace))
    eventually(lambda: accepted(admin, namespace))
    before = admin.get(kinds.DEPLOYMENT, "smollm", namespace)

    stored = admin.get(INFERENCE_SERVICE, "smollm", namespace)
    stored["spec"]["podTemplate"] = {"spec": spec}
    admin.replace(INFERENCE_SERVICE, stored)
    found = eventually(lambda: accepted(admin, namespace))
    assert (found["status"], found["reason"]) == ("False", reason)
    assert named in found["message"]
    assert admin.get(kinds.DEPLOYMENT, "smollm", namespace)["spec"] == before["spec"]

    stored = admin.get(INFERENCE_SERVICE, "smollm", namespace)
    stored["spec"]["podTemplate"] = {"spec": {"priorityClassName": "serving"}}
    admin.replace(INFERENCE_SERVICE, stored)
    eventually(lambda: accepted(admin, namespace), lambda now: now["status"] == "True")
    template = admin.get(kinds.DEPLOYMENT, "smollm", namespace)["spec"]["template"]
    assert template["spec"]["priorityClassName"] == "serving"


def test_a_template_that_is_nested_as_deep_as_the_server_allows_hinders_no_other_service(
    apiserver: ApiServer, admin: Client, namespace: str, operator: Program
) -> None:
    deepest = 9_900
    body = json.dumps({"apiVersion": INFERENCE_SERVICE.api_version, "kind": INFERENCE_SERVICE.kind})[:-1]
    metadata = json.dumps({"name": "deep", "namespace": namespace})
    spec = '{"model": {"uri": "s3://models/deep"}, "podTemplate": {"spec": {"x": %s}}}'
    nested = spec % ('{"a":' * deepest + "1" + "}" * deepest)
    client = apiserver.client()
    request = urllib.request.Request(
        f"{apiserver.url}{resource_path(INFERENCE_SERVICE, namespace)}",
        f'{body}, "metadata": {metadata}, "spec": {nested}}}'.encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {client.token}"},
    )
    with client.opener.open(request) as answer:
        assert answer.status == 201

    admin.create(INFERENCE_SERVICE, minimal(namespace))
    eventually(lambda: accepted(admin, namespace), lambda now: now["status"] == "True")
    assert operator.is_ready()

    query = ("get", "infsvc/deep", "-n", namespace, "-o", "jsonpath={.status.conditions[1].message}")
    eventually(lambda: "nested more than 32 levels" in apiserver.kubectl(*query))
    apiserver.kubectl("delete", "infsvc/deep", "-n", namespace)
