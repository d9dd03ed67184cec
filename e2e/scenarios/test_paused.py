"""A service that is to be left alone for a while."""

from e2e.support.kubectl import Kubectl, Object
from e2e.support.services import accepted_reason, all_observed, service
from tests.support.eventually import eventually

READY_S = 240
PAUSED = "serving.modelyard.dev/paused"


def test_a_paused_service_is_left_alone_and_reports_it_and_then_goes_on(namespace: Kubectl, standin: Object) -> None:
    namespace.apply(service("held", engine=standin, replicas=0))
    eventually(lambda: namespace.exists("deployment", "held"), within_s=60)
    namespace.run("annotate", "infsvc/held", f"{PAUSED}=true")
    eventually(lambda: accepted_reason(namespace, "held") == "Paused", within_s=60)

    namespace.run("delete", "pdb/held")
    namespace.run("scale", "infsvc/held", "--replicas=1")
    namespace.run("label", "service/held", "app.kubernetes.io/managed-by=another", "--overwrite")
    namespace.apply(service("witness", engine=standin, replicas=0))
    eventually(lambda: namespace.exists("deployment", "witness"), within_s=60)
    eventually(lambda: all_observed(namespace), within_s=60)
    assert not namespace.exists("pdb", "held")
    assert namespace.get("deployment", "held")["spec"]["replicas"] == 0
    assert namespace.get("service", "held")["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "another"

    namespace.run("annotate", "infsvc/held", f"{PAUSED}-")
    eventually(lambda: namespace.exists("pdb", "held"), within_s=60)
    eventually(lambda: namespace.get("deployment", "held")["spec"]["replicas"] == 1, within_s=60)
    namespace.wait("infsvc/held", "condition=Ready", READY_S)
