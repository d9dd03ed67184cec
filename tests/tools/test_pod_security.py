"""The check of Pod Security that the golden tests trust finds what each control forbids."""

import copy
from typing import Any

import pytest

from modelyard.api.service import Object
from tests.support.factories import service
from tests.support.pod_security import violations
from tests.support.rendering import pod_spec


def _spec_with(path: str, value: Any) -> Object:
    """An admitted pod with one field changed; ``path`` is its place, with dots."""
    spec = copy.deepcopy(pod_spec(service()))
    *parents, last = path.split(".")
    place: Any = spec
    for parent in parents:
        place = place[int(parent)] if parent.isdecimal() else place[parent]
    place[last] = value
    return spec


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("hostNetwork", True, "hostNetwork is set"),
        ("volumes", [{"name": "v", "hostPath": {"path": "/"}}], "volume v is a hostPath"),
        ("securityContext.runAsNonRoot", False, "engine may run as root"),
        ("securityContext.runAsUser", 0, "the pod runs as user 0"),
        (
            "securityContext.seccompProfile",
            {"type": "Unconfined"},
            "the pod has no seccomp profile of the allowed types",
        ),
        ("securityContext", {"runAsNonRoot": True}, "modelyard-fetch has no seccomp profile"),
        ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}], "sysctl kernel.msgmax is not safe"),
        ("containers.0.securityContext", {}, "engine may escalate privileges"),
        ("containers.0.securityContext", {}, "engine does not drop all capabilities"),
        ("containers.0.securityContext.privileged", True, "engine is privileged"),
        ("containers.0.securityContext.procMount", "Unmasked", "engine mounts another /proc"),
        ("containers.0.securityContext.seLinuxOptions", {"user": "root"}, "engine chooses its SELinux label"),
        ("containers.0.securityContext.appArmorProfile", {"type": "Unconfined"}, "engine has no AppArmor profile"),
        (
            "containers.0.securityContext.capabilities",
            {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
            "engine adds capabilities",
        ),
        ("containers.0.ports", [{"containerPort": 1, "hostPort": 1}], "engine takes a port of the host"),
        ("containers.0.readinessProbe", {"httpGet": {"host": "x"}}, "engine has a handler that calls another host"),
        ("initContainers.0.securityContext.runAsUser", 0, "modelyard-fetch runs as user 0"),
    ],
)
def test_a_pod_that_breaks_a_control_is_found(path: str, value: Any, problem: str) -> None:
    assert any(problem in found for found in violations(_spec_with(path, value)))
