"""Several replicas, several installations, and a service that is to be left alone. These run alone."""

import json
from datetime import timedelta

import pytest

from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl, Object, condition, is_true
from e2e.support.services import service
from e2e.support.side_installation import CLAIM, HOME, side_installation
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

TAKE_OVER = timedelta(seconds=15)
READY_S = 240
PAUSED = "serving.modelyard.dev/paused"
NAMES = [f"svc-{index}" for index in range(10)]


def _all_told(kubectl: Kubectl) -> bool:
    found = kubectl.list("infsvc")
    return all((each.get("status") or {}).get("observedGeneration") == each["metadata"]["generation"] for each in found)


def test_a_killed_leader_is_followed_within_fifteen_seconds_under_ten_creations_and_under_load(
    namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    namespace.apply(service("busy", engine=standin))
    namespace.wait("infsvc/busy", "condition=Ready", READY_S)
    before = installation.holder()
    for name in NAMES[:5]:
        namespace.apply(service(name, engine=standin, replicas=0))

    installation.kill()
    _, last_renewed = installation.led()
    namespace.apply(*(service(name, engine=standin, replicas=0) for name in NAMES[5:]))
    namespace.run("scale", "infsvc/busy", "--replicas=2")
    eventually(lambda: installation.holder() not in ("", before), within_s=60, every_s=0.2)
    taken_over, _ = installation.led()
    assert taken_over - last_renewed < TAKE_OVER

    eventually(lambda: len(namespace.list("deployments")) == len(NAMES) + 1, within_s=60, every_s=0.5)
    eventually(lambda: _all_told(namespace), within_s=60, every_s=0.5)
    for kind in ("deployments", "services", "pdb"):
        found = namespace.list(kind, "app.kubernetes.io/managed-by=modelyard")
        assert sorted(child["metadata"]["name"] for child in found) == sorted([*NAMES, "busy"])
    assert len(namespace.list("replicasets")) == len(NAMES) + 1, "a second pod template was rolled out"
    namespace.wait("infsvc/busy", "jsonpath={.status.readyReplicas}=2", READY_S)


def test_a_paused_service_is_left_alone_and_says_so_and_then_goes_on(namespace: Kubectl, standin: Object) -> None:
    namespace.apply(service("held", engine=standin, replicas=0))
    eventually(lambda: namespace.exists("deployment", "held"), within_s=60)
    namespace.run("annotate", "infsvc/held", f"{PAUSED}=true")
    eventually(lambda: _accepted(namespace, "held") == "Paused", within_s=60)

    namespace.run("delete", "pdb/held")
    namespace.run("scale", "infsvc/held", "--replicas=1")
    namespace.run("label", "service/held", "app.kubernetes.io/managed-by=somebody", "--overwrite")
    namespace.apply(service("witness", engine=standin, replicas=0))
    eventually(lambda: namespace.exists("deployment", "witness"), within_s=60)
    eventually(lambda: _all_told(namespace), within_s=60)
    assert not namespace.exists("pdb", "held")
    assert namespace.get("deployment", "held")["spec"]["replicas"] == 0
    assert namespace.get("service", "held")["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "somebody"

    namespace.run("annotate", "infsvc/held", f"{PAUSED}-")
    eventually(lambda: namespace.exists("pdb", "held"), within_s=60)
    eventually(lambda: namespace.get("deployment", "held")["spec"]["replicas"] == 1, within_s=60)
    namespace.wait("infsvc/held", "condition=Ready", READY_S)


def _accepted(kubectl: Kubectl, name: str) -> str:
    found = condition(kubectl.get("infsvc", name), "Accepted")
    return str(found["reason"]) if found else ""


def test_an_installation_for_one_namespace_and_one_for_the_cluster_have_each_their_own(
    cluster: Kubectl, namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    other = Kubectl(namespace=HOME)  # a namespace that nobody claims
    with side_installation(cluster, namespace.namespace) as side:
        assert namespace.get("lease", CLAIM)["spec"] == {"holderIdentity": HOME}
        namespace.apply(service("theirs", engine=standin, replicas=0))
        other.apply(service("ours", engine=standin, replicas=0))
        eventually(lambda: _all_told(namespace) and _all_told(other), within_s=90)
        assert _writers(side.log()) == {f"{namespace.namespace}/theirs"}
        assert f"{HOME}/ours" in _writers(installation.log())
        assert f"{namespace.namespace}/theirs" not in _writers(installation.log())

        side.stop()
        namespace.run("delete", "deployment/theirs")
        namespace.apply(service("waits", engine=standin, replicas=0))
        other.apply(service("next", engine=standin, replicas=0))
        eventually(lambda: other.exists("deployment", "next"), within_s=60)
        assert not namespace.exists("deployment", "theirs"), "the claim holds while the claimant is down"
        assert not namespace.exists("deployment", "waits")
        other.run("delete", "infsvc", "--all")

    eventually(lambda: namespace.exists("deployment", "theirs"), within_s=60)
    eventually(lambda: _accepted(namespace, "waits") == "Accepted", within_s=60)
    assert not is_true(namespace.get("infsvc", "waits"), "Stalled")


def _writers(log: str) -> set[str]:
    """The services of which an operator's log tells that it wrote something."""
    lines = [json.loads(line) for line in log.splitlines()]
    return {line["service"] for line in lines if line["message"] in {"child applied", "status changed"}}
