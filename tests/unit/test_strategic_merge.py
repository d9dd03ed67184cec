"""One part of a pod template merged into another, as kubectl patch does it."""

from typing import Any

import pytest

from modelyard.contract.errors import InvalidError
from modelyard.desired.strategic_merge import merged


@pytest.mark.parametrize(
    ("base", "patch", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({}, {"a": None}, {}),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"limits": {"cpu": "4", "memory": "1Gi"}}, {"limits": {"memory": None}}, {"limits": {"cpu": "4"}}),
        (
            {"limits": {"cpu": "4", "memory": "1Gi"}},
            {"limits": {"$patch": "replace", "cpu": "1"}},
            {"limits": {"cpu": "1"}},
        ),
        ({}, {"limits": {"$patch": "replace", "cpu": "1"}}, {"limits": {"cpu": "1"}}),
        (
            {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}]},
            {"volumes": [{"name": "shm", "emptyDir": {"$patch": "replace"}}]},
            {"volumes": [{"name": "shm", "emptyDir": {}}]},
        ),
        ({"drop": ["ALL"]}, {"drop": ["NET_RAW"]}, {"drop": ["NET_RAW"]}),
        (
            {"containers": [{"name": "engine", "image": "a"}]},
            {"containers": [{"name": "proxy", "image": "p"}, {"name": "engine", "tty": True}]},
            {"containers": [{"name": "engine", "image": "a", "tty": True}, {"name": "proxy", "image": "p"}]},
        ),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
            {
                "env": [
                    {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "B", "value": "2"},
                ]
            },
        ),
        (
            {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}]},
            {"volumes": [{"name": "shm", "emptyDir": {"sizeLimit": "9Gi"}}]},
            {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "9Gi"}}]},
        ),
        (
            {"volumes": [{"name": "tmp", "emptyDir": {}}]},
            {"volumes": [{"name": "tmp", "persistentVolumeClaim": {"claimName": "c"}}]},
            {"volumes": [{"name": "tmp", "persistentVolumeClaim": {"claimName": "c"}}]},
        ),
        (
            {"ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]},
            {"ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 80, "protocol": "UDP"}]},
            {
                "ports": [
                    {"containerPort": 80, "protocol": "TCP", "name": "http", "hostPort": 8080},
                    {"containerPort": 80, "protocol": "UDP"},
                ]
            },
        ),
        (
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}, {"key": "a"}]},
            {"tolerations": [{"key": "a"}, {"key": "b"}]},
        ),
        (
            {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]},
            {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["b"]}]},
            {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["b"]}]},
        ),
        (
            {},
            {"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": w} for w in ("x", "y")]},
            {"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": w} for w in ("x", "y")]},
        ),
    ],
)
def test_a_patch_merges_by_the_keys_that_distinguish_items(base: Any, patch: Any, expected: Any) -> None:
    assert merged(base, patch, "spec") == expected


@pytest.mark.parametrize(
    ("patch", "complaint"),
    [
        ({"containers": "engine"}, r"spec\.containers must be a list of objects, each with name\."),
        ({"containers": [{"image": "a"}]}, r"spec\.containers must be a list of objects, each with name\."),
        ({"containers": ["engine"]}, r"spec\.containers must be a list of objects, each with name\."),
        ({"containers": [{"name": {}}]}, r"spec\.containers must be a list of objects, each with name\."),
        (
            {"containers": [{"name": "p", "ports": [{"containerPort": 1, "protocol": {}}]}]},
            r"spec\.containers\[p\]\.ports must be a list of objects, each with containerPort\.",
        ),
        (
            {"topologySpreadConstraints": [{"topologyKey": "zone"}]},
            r"each with topologyKey and whenUnsatisfiable\.",
        ),
        ({"env": [{"name": "A"}, {"name": "A"}]}, r"spec\.env contains A twice\."),
        (
            {"ports": [{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]},
            r"ports contains 1/TCP twice\.",
        ),
        ({"securityContext": {"$patch": "delete"}}, r"spec\.securityContext\.\$patch must be replace\."),
        ({"tolerations": "all"}, r"spec\.tolerations must be a list\."),
        ({"securityContext": 1}, r"spec\.securityContext must be an object\."),
    ],
)
def test_what_has_no_form_to_merge_is_refused_with_its_place(patch: Any, complaint: str) -> None:
    base = {"tolerations": [{"key": "a"}], "securityContext": {"runAsUser": 1}}
    with pytest.raises(InvalidError, match=complaint) as refused:
        merged(base, patch, "spec")
    assert refused.value.reason == "PodTemplateRefused"


def test_neither_side_is_changed_by_a_merge() -> None:
    base: Any = {"volumes": [{"name": "a", "emptyDir": {}}], "tolerations": [{"key": "a"}]}
    patch: Any = {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}], "tolerations": [{"key": "b"}]}
    result = merged(base, patch, "spec")
    result["volumes"][0]["emptyDir"]["sizeLimit"] = "2Gi"
    result["tolerations"].clear()
    assert base == {"volumes": [{"name": "a", "emptyDir": {}}], "tolerations": [{"key": "a"}]}
    assert patch["volumes"][0]["emptyDir"] == {"sizeLimit": "1Gi"}
