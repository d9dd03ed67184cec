"""What services notice when the operator is killed, replaced or set up differently: nothing. These run alone."""

import json

import pytest

from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl, Object, is_true
from e2e.support.services import service
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

READY_S = 240


def _generations(kubectl: Kubectl) -> dict[str, int]:
    return {d["metadata"]["name"]: d["metadata"]["generation"] for d in kubectl.list("deployments")}


def _pod_uids(kubectl: Kubectl) -> set[str]:
    return {p["metadata"]["uid"] for p in kubectl.list("pods")}


def test_an_operator_killed_in_the_middle_of_ten_creations_converges_with_nothing_doubled(
    namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    names = [f"svc-{index}" for index in range(10)]
    for name in names[:5]:
        namespace.apply(service(name, engine=standin, replicas=0))

    killed = installation.kill()
    for name in names[5:]:
        namespace.apply(service(name, engine=standin, replicas=0))

    eventually(lambda: len(namespace.list("deployments")) == len(names), within_s=120, every_s=0.5)
    eventually(
        lambda: all(
            (s.get("status") or {}).get("observedGeneration") == s["metadata"]["generation"]
            for s in namespace.list("infsvc")
        ),
        within_s=60,
        every_s=0.5,
    )
    for kind in ("deployments", "services", "pdb"):
        found = namespace.list(kind, "app.kubernetes.io/managed-by=modelyard")
        assert sorted(child["metadata"]["name"] for child in found) == names
        assert all(len(child["metadata"]["ownerReferences"]) == 1 for child in found)
    assert installation.restarts(killed) > 0
    replicasets = namespace.list("replicasets")
    assert len(replicasets) == len(names), "a second pod template was rolled out"


def test_a_new_operator_image_and_a_changed_setting_restart_no_pod_until_a_refresh(
    namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    namespace.apply(service("steady", engine=standin, drain={}))
    namespace.wait("infsvc/steady", "condition=Ready", READY_S)
    generations, pods = _generations(namespace), _pod_uids(namespace)
    grace_s = namespace.get("deployment", "steady")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    with installation.changed(image=installation.other_image(), settings={"drain_s": 33}):
        eventually(installation.is_idle, within_s=120, every_s=1)
        assert _generations(namespace) == generations
        assert _pod_uids(namespace) == pods

        namespace.run("annotate", "infsvc/steady", "serving.modelyard.dev/refresh=take-the-new-settings")
        eventually(lambda: _generations(namespace) != generations, within_s=60)
        template = namespace.get("deployment", "steady")["spec"]["template"]["spec"]
        assert template["terminationGracePeriodSeconds"] == grace_s - 60 + 33, json.dumps(template)
        eventually(lambda: is_true(namespace.get("infsvc", "steady"), "Ready"), within_s=READY_S, every_s=1)


def test_the_log_of_a_clean_run_shows_no_error_and_no_forbidden_call(
    namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    installation.restart()
    namespace.apply(service("clean", engine=standin))
    namespace.wait("infsvc/clean", "condition=Ready", READY_S)
    namespace.run("scale", "infsvc/clean", "--replicas=2")
    namespace.wait("infsvc/clean", "jsonpath={.status.readyReplicas}=2", READY_S)
    namespace.run("delete", "infsvc/clean", "--wait=true")
    eventually(lambda: not namespace.list("pods"), within_s=60, every_s=1)

    lines = [json.loads(line) for line in installation.log().splitlines()]
    assert lines, "the operator logs nothing"
    assert [line for line in lines if line["level"] in ("ERROR", "CRITICAL", "WARNING")] == []
    assert [line for line in lines if "forbidden" in json.dumps(line).lower()] == []
