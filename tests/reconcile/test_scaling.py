"""Who decides how many replicas run, from the service's file to its Deployment."""

from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from tests.support import factories
from tests.support.conditions import KEY
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator

SCALING = {"minReplicas": 1, "maxReplicas": 8}


def replicas(cluster: InMemoryCluster) -> int:
    """What the Deployment is set to."""
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    found = deployment["spec"]["replicas"]
    assert isinstance(found, int)
    return found


def write(cluster: InMemoryCluster, **spec: Any) -> None:
    """A file is applied: fields that are None are left out, and replicas then is the API's default."""

    def change(body: Object) -> None:
        body["spec"] = {name: value for name, value in (body["spec"] | spec).items() if value is not None}
        body["spec"].setdefault("replicas", 1)

    cluster.edit(kinds.INFERENCE_SERVICE, KEY, change)


@pytest.mark.parametrize("mode", ["Auto", "Recommend"])
async def test_a_file_that_brings_scaling_keeps_what_runs_where_its_line_stays(
    cluster: InMemoryCluster, operator: RunningOperator, mode: str
) -> None:
    cluster.put(factories.service(replicas=6))
    await operator.run()
    write(cluster, scaling={**SCALING, "mode": mode})
    await operator.run()
    assert replicas(cluster) == 6


async def test_a_file_that_gives_its_replicas_up_for_scaling_keeps_what_runs(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(replicas=6))
    await operator.run()
    write(cluster, replicas=None, scaling=SCALING)
    await operator.run()
    assert replicas(cluster) == 6


async def test_an_adopted_deployment_keeps_its_replicas(cluster: InMemoryCluster, operator: RunningOperator) -> None:
    cluster.put(factories.service(replicas=6))
    await operator.run()
    cluster.remove(kinds.INFERENCE_SERVICE, KEY)
    orphan = factories.child(kinds.DEPLOYMENT, owner_uid=None, spec={"replicas": 4})
    cluster.put(orphan)
    cluster.put(factories.service(uid="another", scaling=SCALING))
    await operator.run()
    assert replicas(cluster) == 4
