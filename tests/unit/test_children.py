"""What all children have alike, and what holds for each kind."""

from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.desired import desired
from tests.support.factories import UID, service
from tests.support.inference_services import EVERY_CHILD, child_name
from tests.support.rendering import deployment, engine_container, environment, pod_spec, resolved


def _children(**spec: Any) -> dict[str, Object]:
    return {child["kind"]: child for child in desired(resolved(service(**EVERY_CHILD | spec)))}


def test_children_come_in_apply_order() -> None:
    assert list(_children()) == [kind.kind for kind in kinds.CHILDREN]


def test_a_network_policy_is_a_child_only_where_it_is_requested() -> None:
    assert [child["kind"] for child in desired(resolved(service()))] == [
        "Service",
        "PodDisruptionBudget",
        "ConfigMap",
        "Deployment",
    ]


@pytest.mark.parametrize("kind", kinds.CHILDREN)
def test_each_child_is_the_services_by_name_label_and_owner(kind: kinds.Kind) -> None:
    child = _children()[kind.kind]
    metadata = child["metadata"]
    assert (child["apiVersion"], metadata["name"], metadata["namespace"]) == (
        kind.api_version,
        child_name(kind, "smollm"),
        "team-a",
    )
    assert metadata["labels"][names.LABEL_SERVICE] == "smollm"
    assert metadata["labels"][names.LABEL_APP_MANAGED_BY] == names.APPLICATION
    assert [(owner["uid"], owner["controller"]) for owner in metadata["ownerReferences"]] == [(UID, True)]


@pytest.mark.parametrize("kind", kinds.CHILDREN)
def test_the_rendered_hash_distinguishes_one_rendering_from_another(kind: kinds.Kind) -> None:
    def rendered(**spec: Any) -> str:
        return str(_children(**spec)[kind.kind]["metadata"]["annotations"][names.ANNOTATION_RENDERED])

    assert rendered() == rendered()
    assert (rendered(replicas=2) != rendered(replicas=1)) is (kind == kinds.DEPLOYMENT)


def test_service_budget_and_deployment_select_the_pods() -> None:
    children = _children()
    labels = children["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert children["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert children["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert children["Service"]["spec"]["selector"].items() <= labels


def test_a_deployments_selector_has_the_pool_and_nothing_that_can_change() -> None:
    selector = _children(engine={"image": "other:v1.2"}, replicas=0)["Deployment"]["spec"]["selector"]["matchLabels"]
    assert selector == {
        names.LABEL_SERVICE: "smollm",
        names.LABEL_POOL: "default",
        names.LABEL_APP_COMPONENT: "engine",
    }


def test_no_child_is_a_service_account() -> None:
    assert "ServiceAccount" not in _children(serviceAccountName="reader")


@pytest.mark.parametrize("account", [None, "reader"])
def test_pods_have_no_token_of_the_api_server(account: str | None) -> None:
    spec = pod_spec(service(serviceAccountName=account))
    assert spec["automountServiceAccountToken"] is False
    assert spec.get("serviceAccountName") == account


def test_the_grace_period_holds_the_pause_the_drain_and_the_teardown() -> None:
    assert pod_spec(service(drain={"timeoutSeconds": 100}))["terminationGracePeriodSeconds"] == 10 + 100 + 15


@pytest.mark.parametrize(("timeout_s", "probes"), [(10, 2), (11, 3), (1800, 360)])
def test_the_startup_probe_lasts_as_long_as_a_start_may(timeout_s: int, probes: int) -> None:
    container = engine_container(service(startup={"timeoutSeconds": timeout_s}))
    assert (container["startupProbe"]["failureThreshold"], container["startupProbe"]["periodSeconds"]) == (probes, 5)


def test_a_rollout_may_take_the_fetch_and_the_start() -> None:
    spec = deployment(service(startup={"timeoutSeconds": 600}))["spec"]
    assert spec["progressDeadlineSeconds"] > 600 + 1400


def test_the_pods_uid_is_known_before_it_is_used() -> None:
    for container in (engine_container(service()), pod_spec(service())["initContainers"][0]):
        assert container["env"][0]["name"] == names.ENV_POD_UID
    mount = engine_container(service())["volumeMounts"][0]
    assert (mount["mountPath"], mount["subPathExpr"], mount["readOnly"]) == ("/model", "by-pod/$(POD_UID)", True)


def test_every_mount_has_its_volume() -> None:
    credentials = {
        "uri": "s3://models/a",
        "credentials": {"secretName": "s"},
        "s3": {"caBundle": {"configMapName": "c"}},
    }
    spec = pod_spec(service(model=credentials))
    mounted = {m["name"] for c in spec["containers"] + spec["initContainers"] for m in c["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_the_engine_is_started_by_the_launcher_with_its_times() -> None:
    command = engine_container(service(drain={"timeoutSeconds": 33}))["command"]
    assert command[: command.index("--")] == [
        "python3",
        "/modelyard/launcher.py",
        "--ready-url=http://localhost:8000/health",
        "--pause-s=10",
        "--drain-s=33",
        "--ipv6-argument=--host=::",
        "--dual-stack",
    ]


def test_accelerators_are_limits_and_their_taint_is_tolerated() -> None:
    body = service(accelerator={"count": 2}, resources={"requests": {"cpu": 4}, "limits": {"memory": "8Gi"}})
    assert engine_container(body)["resources"] == {
        "limits": {"memory": "8Gi", "nvidia.com/gpu": "2"},
        "requests": {"cpu": "4"},
    }
    assert pod_spec(body)["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


def test_a_pod_on_cpu_requests_no_accelerator_and_tolerates_no_taint() -> None:
    body = service(accelerator={"type": "cpu"})
    assert engine_container(body)["resources"] == {}
    assert "tolerations" not in pod_spec(body)


def test_a_users_variable_replaces_ours_and_stays_in_the_users_order() -> None:
    env = [{"name": "B", "value": "1"}, {"name": "HOME", "value": "/elsewhere"}, {"name": "A", "value": "$(B)"}]
    container = engine_container(service(engine={"env": env}))
    assert environment(container)["HOME"] == "/elsewhere"
    assert [entry["name"] for entry in container["env"]][-3:] == ["B", "HOME", "A"]
    assert len(environment(container)) == len(container["env"])


def test_no_container_waits_in_a_hook_before_its_stop_signal() -> None:
    spec = pod_spec(service())
    assert all("lifecycle" not in container for container in spec["containers"] + spec["initContainers"])


def test_the_fetcher_states_all_that_a_quota_can_require() -> None:
    resources = pod_spec(service())["initContainers"][0]["resources"]
    assert {kind: sorted(resources[kind]) for kind in resources} == {
        "limits": ["cpu", "memory"],
        "requests": ["cpu", "memory"],
    }
