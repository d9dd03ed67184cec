"""deploy/components/node-cache uses the code's names, and an agent can read the settings that it gives."""

from pathlib import Path
from typing import Any

import yaml

from modelyard.contract import names
from modelyard.node import configuration
from modelyard.node.configuration import Configuration

COMPONENT = Path(__file__).parents[2] / "deploy/components/node-cache"
IN_A_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def part(file: str) -> Any:
    return next(iter(yaml.safe_load_all((COMPONENT / file).read_text())))


def settings() -> dict[str, str]:
    [generated] = part("kustomization.yaml")["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = part("daemon_set.yaml")["spec"]["template"]["spec"]
    return spec


def test_the_driver_and_the_taint_have_the_names_that_the_code_has() -> None:
    assert part("csi_driver.yaml")["metadata"]["name"] == names.CSI_DRIVER
    starting = part("node_taint_policy.yaml")["spec"]["variables"][0]
    assert starting == {"name": "starting", "expression": f'"{names.TAINT_CACHE_STARTING}"'}


def test_the_values_are_the_agents_own_defaults() -> None:
    environment = settings() | IN_A_CLUSTER | {names.ENV_NODE_NAME: "worker"}
    assert Configuration.from_environment(environment) == Configuration(
        node="worker", cache=Path("/mnt/modelyard"), api_server="https://10.0.0.1:443"
    )


def test_the_agent_sees_the_folders_that_it_uses_at_their_own_paths() -> None:
    mounts = {mount["name"]: mount for mount in pod()["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume["hostPath"]["path"] for volume in pod()["volumes"]}
    assert {name: mount["mountPath"] for name, mount in mounts.items()} == volumes
    assert volumes["kubelet"] == configuration.KUBELET_FOLDER
    assert mounts["kubelet"]["mountPropagation"] == "Bidirectional"
    assert volumes["cache"] == str(Path(settings()[names.ENV_NODE_CACHE_PATH]).parent)


def test_it_serves_the_port_that_the_operator_queries_and_that_scrapers_are_given() -> None:
    assert [port["containerPort"] for port in pod()["containers"][0]["ports"]] == [names.NODE_PORT]
    template = part("daemon_set.yaml")["spec"]["template"]["metadata"]
    assert template["annotations"]["prometheus.io/port"] == str(names.NODE_PORT)
    assert template["labels"][names.LABEL_APP_COMPONENT] == names.COMPONENT_NODE


def test_nothing_of_the_host_is_shared_but_two_folders_and_every_node_gets_it() -> None:
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod().keys()
    assert pod()["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod()["tolerations"] == [{"operator": "Exists"}]
