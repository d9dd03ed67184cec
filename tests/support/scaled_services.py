"""A service that is scaled automatically, in the cluster in memory: what others write of it, and what comes of that."""

from typing import Any

from modelyard.api import kinds
from modelyard.api.service import Object
from tests.support import factories
from tests.support.conditions import KEY
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator
from tests.support.scripted_decisions import ScriptedDecisions

SCALING = {"minReplicas": 1, "maxReplicas": 8}


def replicas(cluster: InMemoryCluster) -> int:
    """What the Deployment is set to."""
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    found = deployment["spec"]["replicas"]
    assert isinstance(found, int)
    return found


def service(cluster: InMemoryCluster) -> Object:
    """The service as it is stored."""
    body = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert body is not None
    return body


def write(cluster: InMemoryCluster, writer: str = "kubectl-client-side-apply", **spec: Any) -> None:
    """A file is applied: fields that are None are left out, and replicas then is the API's default."""

    def change(body: Object) -> None:
        body["spec"] = {name: value for name, value in (body["spec"] | spec).items() if value is not None}
        body["spec"].setdefault("replicas", 1)
        if "replicas" in spec:
            owned: Object = {"f:spec": {"f:replicas": {}}}
            body["metadata"]["managedFields"] = [{"manager": writer, "operation": "Update", "fieldsV1": owned}]

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, change)


def events(cluster: InMemoryCluster, reason: str) -> list[str]:
    """The notes of the events with that reason."""
    return [event["note"] for event in cluster.events if event["reason"] == reason]


async def scaled(cluster: InMemoryCluster, operator: RunningOperator, decide: ScriptedDecisions, number: int) -> None:
    """The service once scaling has brought it to ``number`` replicas, with the record of calls emptied."""
    cluster.put(factories.service(scaling=SCALING))
    await operator.run()
    decide.desired = number
    await operator.tick(2)
    assert replicas(cluster) == number
    cluster.calls.clear()
    cluster.events.clear()
