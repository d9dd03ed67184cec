"""A repository of models is asked for what its readiness leaves open, and asked again until it is cured."""

from modelyard import kinds, names
from modelyard.api.service import Key, Object
from modelyard.signals.repository_index import IndexedModel
from tests.support import factories
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator

KEY = Key("team-a", "smollm")
ADDRESS = "10.0.0.1:8000"


def ready(cluster: InMemoryCluster) -> tuple[str, str]:
    service = cluster.see(kinds.INFERENCE_SERVICE, KEY)
    assert service is not None
    condition = next(c for c in service["status"]["conditions"] if c["type"] == "Ready")
    return condition["status"], condition["reason"]


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


async def test_an_empty_repository_is_not_ready_until_it_has_a_model() -> None:
    cluster = InMemoryCluster()
    operator = RunningOperator(cluster)
    cluster.put(factories.service(engine={"type": "triton"}))
    await operator.run()
    operator.indexes[ADDRESS] = ()
    cluster.put(answering_pod(cluster))
    await operator.run()
    assert ready(cluster) == ("False", "ModelsNotReady")

    operator.indexes[ADDRESS] = (IndexedModel("detect", "READY"),)
    await operator.run(for_s=10)
    assert ready(cluster)[0] == "True"


async def test_a_model_that_somebody_unloads_is_noticed_within_a_minute() -> None:
    cluster = InMemoryCluster()
    operator = RunningOperator(cluster)
    cluster.put(factories.service(engine={"type": "triton", "triton": {"models": ["detect", "classify"]}}))
    await operator.run()
    operator.indexes[ADDRESS] = (IndexedModel("classify", "READY"), IndexedModel("detect", "READY"))
    cluster.put(answering_pod(cluster))
    await operator.run()
    assert ready(cluster)[0] == "True"

    operator.indexes[ADDRESS] = (IndexedModel("classify", "READY"), IndexedModel("detect", "UNAVAILABLE", "unloaded"))
    await operator.run(for_s=60)
    assert ready(cluster) == ("False", "ModelsNotReady")
