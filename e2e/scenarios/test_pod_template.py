"""What a user brings to the pods and to the Service beside the fields of the spec, seen where it arrives."""

import base64
import json
from collections.abc import Iterator

import pytest

from e2e.support.kubectl import Kubectl, Object, condition, is_true
from e2e.support.services import pods_of, service
from tests.support.eventually import eventually

READY_S = 240
"""Longest time until a stand-in pod is ready on a busy machine with two cores."""

PRIORITY = 1000
RESTRICTED: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SIT = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"


@pytest.fixture
def priority_class(cluster: Kubectl, namespace: Kubectl) -> Iterator[str]:
    """A priority class of this test's own; classes belong to no namespace."""
    name = namespace.namespace
    cluster.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": PRIORITY,
            "preemptionPolicy": "Never",
        }
    )
    yield name
    cluster.run("delete", "priorityclass", name)


def _accepted(kubectl: Kubectl, name: str, reason: str) -> Object | None:
    """The condition Accepted, once it has that reason for the present spec."""
    body = kubectl.get("infsvc", name)
    found = condition(body, "Accepted")
    if found is None or found["observedGeneration"] != body["metadata"]["generation"]:
        return None
    return found if found["reason"] == reason else None


def test_a_priority_class_a_volume_an_annotation_and_a_sidecar_arrive_and_a_hand_made_label_stays(
    namespace: Kubectl, standin: Object, priority_class: str
) -> None:
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "greeting"}, "data": {"hello": "from a volume"}}
    )
    template: Object = {
        "metadata": {"labels": {"team": "search"}, "annotations": {"mesh.example.com/inject": "true"}},
        "spec": {
            "priorityClassName": priority_class,
            "volumes": [{"name": "greeting", "configMap": {"name": "greeting"}}],
            "containers": [
                {"name": "engine", "volumeMounts": [{"name": "greeting", "mountPath": "/greeting", "readOnly": True}]},
                {
                    "name": "proxy",
                    "image": standin["image"],
                    "command": ["python3", "-c", SIT],
                    "securityContext": RESTRICTED,
                },
            ],
        },
    }
    namespace.apply(service("brings", engine=standin, podTemplate=template))
    namespace.wait("infsvc/brings", "condition=Ready", READY_S)

    (pod,) = pods_of(namespace, "brings")
    assert (pod["spec"]["priorityClassName"], pod["spec"]["priority"]) == (priority_class, PRIORITY)
    assert pod["metadata"]["annotations"]["mesh.example.com/inject"] == "true"
    assert pod["metadata"]["labels"]["team"] == "search"
    assert [container["name"] for container in pod["spec"]["containers"]] == ["engine", "proxy"]
    name = pod["metadata"]["name"]
    assert namespace.run("exec", name, "-c", "engine", "--", "cat", "/greeting/hello") == "from a volume"

    before = namespace.get("deployment", "brings")
    namespace.run("label", "deployment/brings", "owner=by-hand")
    namespace.run("annotate", "infsvc/brings", "note=look-again")
    namespace.run("delete", "pdb/brings", "--wait=true")
    eventually(lambda: namespace.exists("pdb", "brings"), within_s=30)
    after = namespace.get("deployment", "brings")
    assert after["metadata"]["labels"]["owner"] == "by-hand"
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert [p["metadata"]["name"] for p in pods_of(namespace, "brings")] == [name]


def test_a_typo_in_the_pod_template_is_reported_while_the_pods_serve_and_its_cure_rolls_out(
    namespace: Kubectl, standin: Object
) -> None:
    namespace.apply(service("typo", engine=standin))
    namespace.wait("infsvc/typo", "condition=Ready", READY_S)
    (before,) = pods_of(namespace, "typo")

    namespace.apply(service("typo", engine=standin, podTemplate={"spec": {"nodeSelektor": {"a": "b"}}}))
    accepted = eventually(lambda: _accepted(namespace, "typo", "PodTemplateInvalid"), within_s=60, every_s=1)
    assert accepted["status"] == "False"
    assert "nodeSelektor: field not declared in schema" in accepted["message"]
    body = namespace.get("infsvc", "typo")
    assert is_true(body, "Ready")
    assert [pod["metadata"]["uid"] for pod in pods_of(namespace, "typo")] == [before["metadata"]["uid"]]

    cured = {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}
    namespace.apply(service("typo", engine=standin, podTemplate=cured))

    def rolled_out() -> bool:
        pods = pods_of(namespace, "typo")
        return (
            is_true(namespace.get("infsvc", "typo"), "Available")
            and len(pods) == 1
            and pods[0]["spec"].get("nodeSelector") == {"kubernetes.io/os": "linux"}
        )

    eventually(rolled_out, within_s=READY_S, every_s=1)
    assert is_true(namespace.get("infsvc", "typo"), "Accepted")


def test_a_field_that_would_break_the_service_is_refused_by_name_with_the_reason(
    namespace: Kubectl, standin: Object
) -> None:
    template = {"spec": {"containers": [{"name": "engine", "command": ["sleep", "infinity"]}]}}
    namespace.apply(service("breaks", engine=standin, podTemplate=template))

    accepted = eventually(lambda: _accepted(namespace, "breaks", "PodTemplateRefused"), within_s=60, every_s=1)

    assert "spec.podTemplate.spec.containers[engine].command must not be set" in accepted["message"]
    assert "spec.engine.args" in accepted["message"]
    assert not namespace.exists("deployment", "breaks")


def test_a_pull_secret_and_the_services_annotations_and_labels_arrive(namespace: Kubectl, standin: Object) -> None:
    login = {"auths": {"registry.example.com": {"auth": base64.b64encode(b"me:secret").decode()}}}
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "registry"},
            "stringData": {".dockerconfigjson": json.dumps(login)},
        }
    )
    outside = {"labels": {"team": "search"}, "annotations": {"lb.example.com/internal": "true"}}
    namespace.apply(service("outside", engine=standin, imagePullSecrets=[{"name": "registry"}], service=outside))
    namespace.wait("infsvc/outside", "condition=Ready", READY_S)

    (pod,) = pods_of(namespace, "outside")
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    metadata = namespace.get("service", "outside")["metadata"]
    assert metadata["annotations"]["lb.example.com/internal"] == "true"
    assert metadata["labels"]["team"] == "search"

    namespace.apply(service("outside", engine=standin, imagePullSecrets=[{"name": "registry"}]))
    eventually(
        lambda: "lb.example.com/internal" not in namespace.get("service", "outside")["metadata"]["annotations"],
        within_s=30,
    )
    assert [p["metadata"]["uid"] for p in pods_of(namespace, "outside")] == [pod["metadata"]["uid"]]
