"""What deploy/ allows, judged by a real API server: the operator no more than it calls, users what they need."""

import json
from itertools import product
from pathlib import Path

import pytest
import yaml

from modelyard.api import kinds
from modelyard.api.kinds import INFERENCE_SERVICE, SERVING_PROFILE, Kind
from modelyard.contract import names
from modelyard.controller import app
from tests.support.api_client import Client, Object, RefusedError
from tests.support.apiserver import ALICE, BOB, LIMITED, OPERATOR, REPOSITORY, ApiServer
from tests.support.eventually import eventually
from tests.support.inference_services import child_name, minimal, profile, with_every_child
from tests.support.prefetching import node_on
from tests.support.program import HOME, SETTINGS, allow, allow_in, started

Right = tuple[str, str, str]
"""A verb, an API group, and a resource with its subresource."""

USER_ROLES = REPOSITORY / "deploy" / "base" / "user_roles.yaml"
RULES_REVIEW = Kind("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview")
LONG_AGO = "2026-01-01T00:00:00Z"

NEEDED: set[Right] = {
    (verb, kind.group, f"{kind.plural}/{subresource}" if subresource else kind.plural)
    for verb, kind, subresource in app.NEEDED
}
TO_PLACE: set[Right] = {(verb, kind.group, kind.plural) for verb, kind, _ in app.NEEDED_TO_PLACE}
AT_HOME: set[Right] = {(verb, kind.group, kind.plural) for verb, kind, _ in app.NEEDED_AT_HOME}
NEVER_CALLED = {("update", names.GROUP, "inferenceservices/finalizers"), ("watch", "keda.sh", "scaledobjects")}
"""Admission requires the first: test_without_the_right_to_finalizers_no_child_is_written. The second is called where
KEDA is installed."""


@pytest.fixture(scope="module", autouse=True)
def role(apiserver: ApiServer) -> None:
    allow(apiserver)


def rights(apiserver: ApiServer, user: str, namespace: str) -> set[Right]:
    """All that RBAC lets ``user`` do with resources in a namespace, as the API server itself sums it up."""
    review = apiserver.client(user).create(RULES_REVIEW, {"metadata": {}, "spec": {"namespace": namespace}})
    assert not review["status"]["incomplete"]
    return {
        right
        for rule in review["status"]["resourceRules"]
        for right in product(rule["verbs"], rule["apiGroups"], rule["resources"])
    }


@pytest.mark.parametrize(("home", "needed"), [(False, NEEDED | TO_PLACE), (True, NEEDED | TO_PLACE | AT_HOME)])
def test_the_operator_may_do_what_it_needs_and_nothing_else(
    apiserver: ApiServer, shared_namespace: str, needed: set[Right], *, home: bool
) -> None:
    namespace = HOME if home else shared_namespace
    everybodys = rights(apiserver, BOB, namespace)
    assert rights(apiserver, OPERATOR, namespace) | everybodys == needed | everybodys


def test_one_that_is_limited_to_namespaces_may_do_so_there_and_nowhere_else(
    apiserver: ApiServer, namespace: str, shared_namespace: str
) -> None:
    home = allow_in(apiserver, namespace)
    claims: set[Right] = {(verb, kind.group, kind.plural) for verb, kind, _ in app.NEEDED_TO_CLAIM}
    of_no_namespace: set[Right] = {
        (verb, kind.group, kind.plural) for verb, kind, _ in app.NEEDED if not kind.is_namespaced
    }
    expected = {namespace: NEEDED | claims, home: AT_HOME | of_no_namespace, shared_namespace: of_no_namespace}
    for place, needed in expected.items():
        everybodys = rights(apiserver, BOB, place)
        assert rights(apiserver, LIMITED, place) | everybodys == needed | everybodys


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/secrets",
        "/api/v1/namespaces/default/secrets/any",
        "/api/v1/namespaces/default/pods/any/log",
        "/api/v1/namespaces/default/pods/any/exec",
    ],
)
def test_the_operator_may_not_read_what_is_the_users_own(apiserver: ApiServer, path: str) -> None:
    with pytest.raises(RefusedError, match="cannot") as refused:
        apiserver.client(OPERATOR).request("GET", path)
    assert refused.value.code == 403


def called(answers: list[Object]) -> set[Right]:
    """What was requested, from the audit log. An apply that made its object (201) was judged as a creation too."""
    found = set()
    for event in answers:
        target = event.get("objectRef")
        if target is None or target.get("apiGroup") == "authorization.k8s.io":
            continue
        resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
        found.add((event["verb"], target.get("apiGroup", ""), resource))
        if event["verb"] == "patch" and event["responseStatus"]["code"] == 201:
            found.add(("create", target.get("apiGroup", ""), resource))
    return found


def pod_that_waits_for_the_node_cache(admin: Client, service: str, namespace: str) -> None:
    labels = {
        names.LABEL_APP_MANAGED_BY: names.APPLICATION,
        names.LABEL_SERVICE: service,
        names.LABEL_APP_COMPONENT: names.COMPONENT_ENGINE,
    }
    volumes = [{"name": names.VOLUME_CACHE, "csi": {"driver": names.CSI_DRIVER}}]
    spec = {
        "nodeName": "some-node",
        "containers": [{"name": names.CONTAINER_ENGINE, "image": "any"}],
        "volumes": volumes,
    }
    metadata = {"name": "prepared", "namespace": namespace, "labels": labels}
    pod = admin.create(kinds.POD, {"metadata": metadata, "spec": spec})
    about = {"kind": "Pod", "name": "prepared", "namespace": namespace, "uid": pod["metadata"]["uid"]}
    message = f"driver name {names.CSI_DRIVER} not found in the list of registered CSI drivers"
    event = {"involvedObject": about, "reason": "FailedMount", "message": message, "lastTimestamp": LONG_AGO}
    admin.create(kinds.CORE_EVENT, {"metadata": {"name": "prepared", "namespace": namespace}, **event})
    admin.replace(kinds.POD, pod | {"status": {"phase": "Pending", "startTime": LONG_AGO}}, "status")


def node_with_a_label_of_a_service_that_is_gone(admin: Client) -> None:
    labels = {f"{names.LABEL_MODEL_DOMAIN}/gone": "0123456789abcdef"}
    admin.create(kinds.NODE, {"metadata": {"name": "labelled", "labels": labels}})


def owner_reference(service: Object) -> Object:
    owner = {field: service["metadata"][field] for field in ("name", "uid")}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "blockOwnerDeletion": True} | owner


def children_that_are_no_longer_desired(admin: Client, service: Object) -> None:
    """One of each kind: a copy of what was rendered, under a name that is not."""
    for kind in kinds.CHILDREN:
        name = child_name(kind, service["metadata"]["name"])
        child = admin.get(kind, name, service["metadata"]["namespace"])
        metadata = {field: child["metadata"][field] for field in ("namespace", "labels")}
        content: Object = {field: child[field] for field in ("spec", "data") if field in child}
        if kind == kinds.SERVICE:
            content["spec"] = {f: value for f, value in content["spec"].items() if not f.startswith("clusterIP")}
        former = {"name": "former", "ownerReferences": [owner_reference(service)]}
        admin.create(kind, {"metadata": metadata | former, **content})
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": names.CONTAINER_ENGINE, "image": "any"}]}}
    admin.create(kinds.JOB, {"metadata": metadata | former, "spec": {"template": template}})


def scaled_down_and_overruled(apiserver: ApiServer, admin: Client, name: str, namespace: str) -> None:
    """More replicas run than the maximum that comes, and then a person sets another number."""
    labels = admin.get(kinds.DEPLOYMENT, name, namespace)["spec"]["template"]["metadata"]["labels"]
    spec = {"nodeName": "to-prefetch-on", "containers": [{"name": names.CONTAINER_ENGINE, "image": "any"}]}
    metadata = {"name": "starting", "namespace": namespace, "labels": labels}
    admin.create(kinds.POD, {"metadata": metadata, "spec": spec})
    change = json.dumps({"spec": {"scaling": {"maxReplicas": 2}}})
    apiserver.kubectl("patch", "infsvc", name, "-n", namespace, "--type=merge", "-p", change)
    eventually(lambda: admin.get(INFERENCE_SERVICE, name, namespace)["status"].get("scaling"))
    apiserver.kubectl("scale", f"infsvc/{name}", "-n", namespace, "--replicas=1")


def test_every_right_of_the_operator_is_used(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    before = len(apiserver.answers_to_the_operator())
    operator = started(apiserver, OPERATOR, tmp_path, SETTINGS + "scaling_interval_s: 5\n")
    with operator.process:
        eventually(operator.is_ready, within_s=60)
        admin.create(SERVING_PROFILE, profile("for-everybody", drain={"timeoutSeconds": 9}))
        body = with_every_child(namespace)
        body["spec"] |= {"profile": "for-everybody", "cache": {"medium": "NodeLocal", "prefetch": 1}, "replicas": 3}
        node_on(admin, "to-prefetch-on")
        service = admin.create(INFERENCE_SERVICE, body)
        name = service["metadata"]["name"]
        eventually(lambda: "status" in admin.get(INFERENCE_SERVICE, name, namespace))
        pod_that_waits_for_the_node_cache(admin, name, namespace)
        node_with_a_label_of_a_service_that_is_gone(admin)
        children_that_are_no_longer_desired(admin, service)
        scaled_down_and_overruled(apiserver, admin, name, namespace)
        eventually(
            lambda: called(apiserver.answers_to_the_operator()[before:]),
            lambda so_far: so_far == (NEEDED | TO_PLACE | AT_HOME) - NEVER_CALLED,
        )


def test_without_the_right_to_finalizers_no_child_is_written(
    apiserver: ApiServer, admin: Client, namespace: str
) -> None:
    def allow_alice(name: str, verb: str, resource: str) -> None:
        apiserver.kubectl("create", "role", name, f"--verb={verb}", f"--resource={resource}", "-n", namespace)
        apiserver.kubectl("create", "rolebinding", name, f"--role={name}", f"--user={ALICE}", "-n", namespace)

    allow_alice("children", "create", "services")
    eventually(lambda: apiserver.may(ALICE, "create", kinds.SERVICE, namespace))
    owner = owner_reference(admin.create(INFERENCE_SERVICE, minimal(namespace)))
    metadata = {"name": "child", "namespace": namespace, "ownerReferences": [owner]}
    child = {"metadata": metadata, "spec": {"ports": [{"port": 80}]}}
    with pytest.raises(RefusedError, match="cannot set blockOwnerDeletion"):
        apiserver.client(ALICE).create(kinds.SERVICE, child)

    allow_alice("owners", "update", "infsvc/finalizers")
    eventually(lambda: apiserver.may(ALICE, "update", INFERENCE_SERVICE, namespace, "finalizers"))
    apiserver.client(ALICE).create(kinds.SERVICE, child)


LOOKING = set(product(("get", "list", "watch"), ("", "status", "scale")))
WRITING = {
    *product(("create", "update", "patch", "delete", "deletecollection"), ("",)),
    *product(("update", "patch"), ("scale",)),
}


@pytest.mark.parametrize(
    ("role", "expected"), [("view", LOOKING), ("edit", LOOKING | WRITING), ("admin", LOOKING | WRITING)]
)
def test_a_namespaces_users_may_use_the_kind_as_their_role_lets_them_use_others(
    apiserver: ApiServer, namespace: str, role: str, expected: set[tuple[str, str]]
) -> None:
    label = f"rbac.authorization.k8s.io/aggregate-to-{role}"
    apiserver.kubectl("apply", "-f", str(USER_ROLES))
    for part in yaml.safe_load_all(USER_ROLES.read_text()):
        if label in part["metadata"].get("labels", {}):
            part_name = part["metadata"]["name"]
            binding = ("create", "rolebinding", part_name, f"--clusterrole={part_name}", f"--user={ALICE}")
            apiserver.kubectl(*binding, "-n", namespace)
    eventually(lambda: apiserver.may(ALICE, "list", INFERENCE_SERVICE, namespace))
    granted = rights(apiserver, ALICE, namespace) - rights(apiserver, BOB, namespace)
    assert granted == {
        (verb, names.GROUP, "/".join(filter(None, (names.PLURAL, subresource)))) for verb, subresource in expected
    }


def test_every_user_may_read_profiles_and_only_an_administrator_write_them(apiserver: ApiServer, admin: Client) -> None:
    apiserver.kubectl("apply", "-f", str(USER_ROLES))
    admin.create(SERVING_PROFILE, profile("to-look-at", drain={"timeoutSeconds": 9}))
    eventually(lambda: apiserver.may(BOB, "list", SERVING_PROFILE, ""))
    assert "to-look-at" in [body["metadata"]["name"] for body in apiserver.client(BOB).list(SERVING_PROFILE)]
    for verb in ("create", "update", "patch", "delete"):
        assert not apiserver.may(BOB, verb, SERVING_PROFILE, "")
