"""A model that is on the nodes before the pods are."""

from e2e.cluster.images import WORKERS
from e2e.support.cached_services import READY_S, fetches
from e2e.support.kubectl import Kubectl, Object
from e2e.support.node_cache import NodeCache
from e2e.support.services import light
from modelyard.contract import names
from tests.support.eventually import eventually

WARM_S = 120
GONE_S = 60


def test_prefetch_warms_two_nodes_leaves_nothing_running_and_the_first_pod_starts_from_the_cache(
    namespace: Kubectl, node_cache: NodeCache
) -> None:
    namespace.apply(light("warm", replicas=0, cache={"prefetch": 2}))

    namespace.wait("infsvc/warm", "jsonpath={.status.prefetch.ready}=2", WARM_S)
    prefetch = namespace.get("infsvc", "warm")["status"]["prefetch"]
    assert prefetch["desired"] == 2
    assert {node["name"] for node in prefetch["nodes"]} == set(WORKERS)
    eventually(lambda: not _unfinished(namespace), within_s=GONE_S, every_s=1)
    [digest] = {digest for node in WORKERS for digest in node_cache.entries(node, namespace.namespace)}

    namespace.run("scale", "infsvc/warm", "--replicas=1")
    namespace.wait("infsvc/warm", "condition=Ready", READY_S)
    [fetched] = fetches(namespace, "warm")
    assert (fetched["digest"], fetched["cacheHit"], fetched["fetchedBytes"]) == (digest, True, 0)

    namespace.run("delete", "infsvc/warm", "--wait=true")
    eventually(lambda: not namespace.list("jobs,pods"), within_s=GONE_S, every_s=1)


def _unfinished(kubectl: Kubectl) -> list[Object]:
    """The pods of the prefetch that still take something of a node."""
    pods = kubectl.list("pods", f"{names.LABEL_APP_COMPONENT}={names.COMPONENT_PREFETCH}")
    return [pod for pod in pods if pod["status"]["phase"] not in {"Succeeded", "Failed"}]
