"""A leader that is killed in the middle of its work. Runs alone."""

from datetime import timedelta

import pytest

from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl, Object
from e2e.support.services import all_observed, service
from tests.support.eventually import eventually

pytestmark = pytest.mark.alone

TAKE_OVER = timedelta(seconds=15)
READY_S = 240
NAMES = [f"svc-{index}" for index in range(10)]


def test_a_killed_leader_is_followed_within_fifteen_seconds_under_ten_creations_and_under_load(
    namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    namespace.apply(service("busy", engine=standin))
    namespace.wait("infsvc/busy", "condition=Ready", READY_S)
    before = installation.holder()
    for name in NAMES[:5]:
        namespace.apply(service(name, engine=standin, replicas=0))

    killed = installation.kill()
    _, last_renewed = installation.led()
    namespace.apply(*(service(name, engine=standin, replicas=0) for name in NAMES[5:]))
    namespace.run("scale", "infsvc/busy", "--replicas=2")
    eventually(lambda: installation.holder() not in ("", before), within_s=60, every_s=0.2)
    taken_over, _ = installation.led()
    assert taken_over - last_renewed < TAKE_OVER

    eventually(lambda: len(namespace.list("deployments")) == len(NAMES) + 1, within_s=60, every_s=0.5)
    eventually(lambda: all_observed(namespace), within_s=60, every_s=0.5)
    for kind in ("deployments", "services", "pdb"):
        found = namespace.list(kind, "app.kubernetes.io/managed-by=modelyard")
        assert sorted(child["metadata"]["name"] for child in found) == sorted([*NAMES, "busy"])
        assert all(len(child["metadata"]["ownerReferences"]) == 1 for child in found)
    assert len(namespace.list("replicasets")) == len(NAMES) + 1, "a second pod template was rolled out"
    namespace.wait("infsvc/busy", "jsonpath={.status.readyReplicas}=2", READY_S)
    eventually(lambda: installation.restarts(killed) > 0, within_s=60, every_s=0.5)
