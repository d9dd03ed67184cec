"""A repository of models is queried for what its readiness leaves open, and again until it is cured."""

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.contract import names
from modelyard.integrations.signals.repository_index import IndexedModel
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator

ADDRESS = "10.0.0.1:8000"


def ready(cluster: InMemoryCluster) -> tuple[str, str]:
    found = condition(cluster, "Ready")
    return found["status"], found["reason"]


def answering_pod(cluster: InMemoryCluster) -> Object:
    """A pod of the Deployment's template that Kubernetes calls ready, at 10.0.0.1."""
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    template = deployment["spec"]["template"]
    pod = factories.pod(
        spec={"nodeName": "worker", "containers": template["spec"]["containers"]},
        status={
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "initContainerStatuses": [{"name": names.CONTAINER_FETCH, "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [
                {
                    "name": names.CONTAINER_ENGINE,
                    "started": True,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        },
    )
    pod["metadata"]["annotations"] = template["metadata"]["annotations"]
    return pod


async def test_an_empty_repository_is_not_ready_until_it_has_a_model(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(engine={"type": "triton"}))
    await operator.run()
    operator.indexes[ADDRESS] = ()
    cluster.put(answering_pod(cluster))
    await operator.run()
    assert ready(cluster) == ("False", "ModelsNotReady")

    operator.indexes[ADDRESS] = (IndexedModel("detect", "READY"),)
    await operator.run(for_s=10)
    assert ready(cluster)[0] == "True"


async def test_a_model_that_is_unloaded_is_noticed_within_a_minute(
    cluster: InMemoryCluster, operator: RunningOperator
) -> None:
    cluster.put(factories.service(engine={"type": "triton", "triton": {"models": ["detect", "classify"]}}))
    await operator.run()
    operator.indexes[ADDRESS] = (IndexedModel("classify", "READY"), IndexedModel("detect", "READY"))
    cluster.put(answering_pod(cluster))
    await operator.run()
    assert ready(cluster)[0] == "True"

    operator.indexes[ADDRESS] = (IndexedModel("classify", "READY"), IndexedModel("detect", "UNAVAILABLE", "unloaded"))
    await operator.run(for_s=60)
    assert ready(cluster) == ("False", "ModelsNotReady")
