"""What counts as drift, and which of the API server's rewritings do not."""

import copy
from typing import Any

import pytest

from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.controller.reconcile.drift import differing_field, is_as_rendered


def rendered(**spec: Any) -> Object:
    return {"metadata": {"name": "x", "annotations": {names.ANNOTATION_RENDERED: "hash"}}, "spec": spec}


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"replicas": 1}, {"replicas": 1, "revisionHistoryLimit": 10}),
        ({"limits": {"cpu": "1000m"}}, {"limits": {"cpu": "1"}}),
        ({"requests": {"cpu": 4, "memory": "1024Mi"}}, {"requests": {"cpu": "4", "memory": "1Gi"}}),
        ({"sizeLimit": "0.5Gi"}, {"sizeLimit": "512Mi"}),
        ({"env": [], "selector": {}, "label": "", "nothing": None}, {}),
        ({"args": ["--a"]}, {"args": ["--a"]}),
        ({"ports": [{"name": "http", "port": 80}]}, {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}),
        (
            {"containers": [{"name": "engine", "env": [{"name": "A", "value": "1"}]}]},
            {"containers": [{"name": "mesh"}, {"name": "engine", "env": [{"name": "B"}, {"name": "A", "value": "1"}]}]},
        ),
        ({"ports": [{"port": 80}]}, {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 81}]}),
        ({"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]}),
        ({"hostAliases": [{"ip": "10.0.0.1"}]}, {"hostAliases": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}]}),
        ({"divisor": 1}, {"divisor": "1"}),
        ({"readOnly": False, "tty": False, "hostPort": 0}, {}),
        ({"initialDelaySeconds": 0, "timeoutSeconds": 0}, {"timeoutSeconds": 1}),
        ({"volumeMounts": [{"mountPath": "/a"}]}, {"volumeMounts": [{"mountPath": "/b"}, {"mountPath": "/a"}]}),
    ],
)
def test_what_the_api_server_or_others_add_is_no_drift(sent: Object, stored: Object) -> None:
    assert is_as_rendered(rendered(**sent), rendered(**stored))


@pytest.mark.parametrize(
    ("sent", "stored", "field"),
    [
        ({"replicas": 1}, {"replicas": 2}, "spec.replicas"),
        ({"replicas": 0}, {}, "spec.replicas"),
        ({"token": False}, {}, "spec.token"),
        ({"token": False}, {"token": True}, "spec.token"),
        ({"args": ["--a", "--b"]}, {"args": ["--b", "--a"]}, "spec.args[]"),
        ({"args": ["--a"]}, {"args": ["--a", "--b"]}, "spec.args"),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}, {"key": "b"}]}, "spec.tolerations"),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "spec.limits"),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1", "memory": "1Gi"}}, "spec.limits"),
        ({"template": {"labels": {"a": "b"}}}, {"template": {"labels": {}}}, "spec.template.labels.a"),
        (
            {"containers": [{"name": "engine", "image": "a"}]},
            {"containers": [{"name": "engine", "image": "b"}]},
            "spec.containers[engine].image",
        ),
        ({"containers": [{"name": "engine"}]}, {"containers": [{"name": "mesh"}]}, "spec.containers[engine]"),
        ({"emptyDir": {"medium": "Memory"}}, {"emptyDir": "?"}, "spec.emptyDir"),
        ({"selector": {"a": "b"}}, {"selector": {"a": "b", "c": "d"}}, "spec.selector"),
        (
            {"volumes": [{"name": "tmp", "emptyDir": {}}]},
            {"volumes": [{"name": "tmp", "configMap": {"name": "x"}}]},
            "spec.volumes[tmp].emptyDir",
        ),
        ({"minAvailable": None}, {"minAvailable": 1}, "spec.minAvailable"),
        ({"ports": [{"containerPort": 1}]}, {"ports": [{"containerPort": 2}]}, "spec.ports[1/TCP]"),
        ({"ports": [{"port": 1}]}, {"ports": [{"port": 1, "protocol": "UDP"}]}, "spec.ports[1/TCP]"),
        ({"readOnly": True}, {"readOnly": False}, "spec.readOnly"),
    ],
)
def test_a_rendered_field_that_is_otherwise_is_drift(sent: Object, stored: Object, field: str) -> None:
    assert differing_field(rendered(**sent), rendered(**stored)) == field
    assert not is_as_rendered(rendered(**sent), rendered(**stored))


def test_a_field_that_is_no_longer_rendered_is_drift() -> None:
    before = rendered(replicas=1, gone=True)
    now = rendered(replicas=1)
    now["metadata"]["annotations"][names.ANNOTATION_RENDERED] = "another hash"
    assert not is_as_rendered(now, before)


def test_an_object_without_our_annotation_is_drift() -> None:
    existing = copy.deepcopy(rendered(replicas=1))
    del existing["metadata"]["annotations"]
    assert not is_as_rendered(rendered(replicas=1), existing)


def test_a_malformed_quantity_is_compared_as_it_is() -> None:
    assert differing_field(rendered(limits={"cpu": "?"}), rendered(limits={"cpu": "?"})) is None
