"""What a user's podTemplate can get wrong: each is reported where it shows, from admission to the node."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from e2e.cluster.images import WORKERS, reference
from e2e.conftest import namespace_for
from e2e.support.causes import NODE_IS_BEHIND, Act, Cause, Took, applies, record, selected, side_by_side
from e2e.support.kubectl import Kubectl, Object
from e2e.support.objects import config_map, secret
from e2e.support.services import light

TEAM = "example.com/team"


def _with(name: str, **pod_spec: Any) -> partial[Object]:
    return partial(light, name, podTemplate={"spec": pod_spec})


def _volume(name: str, **source: Object) -> partial[Object]:
    engine = {"name": "engine", "volumeMounts": [{"name": "theirs", "mountPath": "/theirs"}]}
    return _with(name, volumes=[{"name": "theirs", **source}], containers=[engine])


def _container(program: str, **fields: Any) -> Object:
    """A container named theirs that runs the Python ``program``."""
    return {
        "name": "theirs",
        "image": reference("standin"),
        "command": ["python3", "-c", program],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **fields,
    }


def _labels_a_node(kubectl: Kubectl) -> None:
    kubectl.run("label", f"node/{WORKERS[0]}", f"{TEAM}=search", "--overwrite")


def _without(name: str) -> Act:
    """The cure that is the same service without a podTemplate."""
    return applies(partial(light, name))


FAILS = "import sys; sys.exit('no route to their server')"
SITS = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"
REFUSES: Object = {"exec": {"command": ["python3", "-c", "raise SystemExit('their port is closed')"]}}
ABSENT = "modelyard.local/modelyard-absent:1"

CAUSES = (
    Cause(
        "a volume that Pod Security forbids",
        _volume("host-path", hostPath={"path": "/var"}),
        "PodSecurityRefused",
        ("restricted", "hostPath", "pod-security.kubernetes.io/enforce"),
        _without("host-path"),
    ),
    Cause(
        "a label that no node has",
        _with("label", nodeSelector={TEAM: "search"}),
        "Unschedulable",
        (TEAM, "search"),
        _labels_a_node,
        after_cure=NODE_IS_BEHIND,
    ),
    Cause(
        "a volume from a Secret that is not there",
        _volume("secret", secret={"secretName": "later"}),
        "SecretMissing",
        ('secret "later" not found',),
        applies(secret("later", {"key": "x"})),
        gone_within_s=150,
    ),
    Cause(
        "a volume from a ConfigMap that is not there",
        _volume("config-map", configMap={"name": "later"}),
        "ConfigMapMissing",
        ('configmap "later" not found',),
        applies(config_map("later", {"key": "x"})),
        gone_within_s=150,
    ),
    Cause(
        "a runtime that the node does not have",
        _with("runtime", runtimeClassName="modelyard-test-absent"),
        "SandboxFailed",
        ("modelyard-test-absent",),
        _without("runtime"),
    ),
    Cause(
        "a container whose image is not there",
        _with("image", containers=[_container(SITS, image=ABSENT, imagePullPolicy="Never")]),
        "ImagePullFailed",
        (f"{ABSENT} of container theirs",),
        _without("image"),
    ),
    Cause(
        "a container that crashes",
        _with("crashes", containers=[_container(FAILS)]),
        "ContainerFailed",
        ("Container theirs", "exit code 1", "no route to their server"),
        _without("crashes"),
        holds_s=45,
    ),
    Cause(
        "an init container that crashes",
        _with("init-crashes", initContainers=[_container(FAILS)]),
        "ContainerFailed",
        ("Container theirs", "exit code 1", "no route to their server"),
        _without("init-crashes"),
    ),
    Cause(
        "a native sidecar whose startup probe fails",
        _with(
            "sidecar",
            initContainers=[
                _container(
                    SITS, restartPolicy="Always", startupProbe={**REFUSES, "periodSeconds": 5, "failureThreshold": 2}
                )
                | {"terminationMessagePolicy": "File"}
            ],
        ),
        "ContainerFailed",
        ("Container theirs", "Startup probe failed"),
        _without("sidecar"),
    ),
    Cause(
        "a container whose readiness probe fails",
        _with("not-ready", containers=[_container(SITS, readinessProbe=REFUSES)]),
        "ContainerNotReady",
        ("container theirs", "Readiness probe failed"),
        _without("not-ready"),
    ),
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, cluster: Kubectl) -> Iterator[Mapping[str, Future[Took]]]:
    """With a runtime class whose handler no node has; no node has the label, before and after."""
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "modelyard-test-absent"}}
    cluster.apply(runtime | {"handler": "modelyard-test-absent"})
    cluster.run("label", f"node/{WORKERS[0]}", f"{TEAM}-")
    for namespace in namespace_for(request):
        with side_by_side(namespace, selected(request, CAUSES), at_once=5) as results:
            yield results
    cluster.run("label", f"node/{WORKERS[0]}", f"{TEAM}-")


@pytest.mark.parametrize("cause", CAUSES, ids=str)
def test_what_a_pod_template_gets_wrong_is_reported_by_name_and_its_cure_is_noticed(
    cause: Cause, played: Mapping[str, Future[Took]], request: pytest.FixtureRequest
) -> None:
    record(played[cause.what].result(), cause, request)
