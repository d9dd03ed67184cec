"""An installation of the operator for one namespace beside the one for the whole cluster."""

import json

from e2e.support.installation import Installation
from e2e.support.kubectl import Kubectl, Object, is_true
from e2e.support.services import accepted_reason, all_observed, service
from e2e.support.side_installation import CLAIM, HOME, side_installation
from tests.support.eventually import eventually


def test_an_installation_for_one_namespace_and_one_for_the_cluster_have_each_their_own(
    cluster: Kubectl, namespace: Kubectl, standin: Object, installation: Installation
) -> None:
    other = Kubectl(namespace=HOME)  # a namespace without a claim
    with side_installation(cluster, namespace.namespace) as side:
        assert namespace.get("lease", CLAIM)["spec"] == {"holderIdentity": HOME}
        namespace.apply(service("theirs", engine=standin, replicas=0))
        other.apply(service("ours", engine=standin, replicas=0))
        eventually(lambda: all_observed(namespace) and all_observed(other), within_s=90)
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
    eventually(lambda: accepted_reason(namespace, "waits") == "Accepted", within_s=60)
    assert not is_true(namespace.get("infsvc", "waits"), "Stalled")


def _writers(log: str) -> set[str]:
    """The services for which an operator's log shows that it wrote something."""
    lines = [json.loads(line) for line in log.splitlines()]
    return {line["service"] for line in lines if line["message"] in {"child applied", "status changed"}}
