"""What a reconcile reads, and how often: everything once, and nothing of it is written."""

from typing import Any

import pytest

from modelyard.api import kinds
from modelyard.api.service import Object
from modelyard.controller.cluster.protocol import ForbiddenError
from modelyard.controller.reconcile.decide import decide, outcome
from modelyard.controller.reconcile.gather import Gatherer
from modelyard.controller.reconcile.revert_limits import Reverts
from modelyard.integrations.engines import ENGINES
from modelyard.integrations.engines.base import Program, Serving
from modelyard.integrations.engines.vllm import Vllm
from tests.support import factories
from tests.support.conditions import KEY, condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.observed import FETCHED, NOW, conditions, running
from tests.support.prefetching import prefetching_service
from tests.support.running_operator import SETTINGS, RunningOperator


class CountingVllm(Vllm):
    """Counts the pod templates that are rendered with it."""

    rendered = 0

    def program(self, serving: Serving) -> Program:
        self.rendered += 1
        return super().program(serving)


class CountingStatus(dict[str, Any]):
    """A pod's status that counts how often the pod is parsed: each time, its phase is read once."""

    parsed = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.parsed += key == "phase"
        return super().get(key, default)


def serving_pod(number: int, template: Object) -> Object:
    """A pod of the Deployment that answers."""
    status = CountingStatus(
        phase="Running",
        conditions=[{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
        initContainerStatuses=[{"name": "modelyard-fetch", "state": FETCHED}],
        containerStatuses=[{"name": "engine", "state": running(600), "started": True, "ready": True}],
    )
    pod = factories.pod(name=f"smollm-{number}", uid=f"uid-of-pod-{number}", spec={"nodeName": "worker"}, status=status)
    pod["metadata"]["annotations"] = template["metadata"]["annotations"]
    return pod


@pytest.mark.parametrize(
    "body",
    [factories.service(replicas=4), prefetching_service(replicas=4)],
    ids=["pods alone", "nodes are warmed besides"],
)
async def test_a_reconcile_that_changes_nothing_renders_once_per_pool_and_parses_once_per_pod(
    cluster: InMemoryCluster, operator: RunningOperator, body: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CountingVllm()
    monkeypatch.setitem(ENGINES, Vllm.name, engine)
    cluster.put(body)
    await operator.run()
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    pods = [serving_pod(number, deployment["spec"]["template"]) for number in range(4)]
    for pod in pods:
        operator.queue.add(*operator.cache.upsert(kinds.POD, pod))
    await operator.run()

    cluster.calls.clear()
    engine.rendered = 0
    for pod in pods:
        pod["status"].parsed = 0
    operator.queue.add(KEY)
    await operator.run()
    assert condition(cluster, "Ready")["status"] == "True"
    assert engine.rendered == 1
    assert [pod["status"].parsed for pod in pods] == [1, 1, 1, 1]
    assert cluster.writes == []


async def test_to_gather_and_decide_shows_what_would_be_done_and_writes_nothing(cluster: InMemoryCluster) -> None:
    operator = RunningOperator(cluster)
    cluster.put(factories.service())

    async def silent(_: str) -> None:
        return None

    gatherer = Gatherer(
        SETTINGS,
        cluster,
        operator.cache,
        Reverts(),
        read_fetch_state=silent,
        read_index=silent,
        read_version=silent,
        scaling_report=lambda _: None,
        now=lambda: NOW,
    )
    observed = await gatherer.gather(KEY)
    assert observed is not None
    plan = decide(observed)
    assert [write.child["kind"] for write in plan.writes] == [
        "Service",
        "PodDisruptionBudget",
        "ConfigMap",
        "Deployment",
    ]
    assert conditions(outcome(plan))["Ready"]["reason"] == "Creating"
    assert cluster.writes == []


async def test_events_that_may_not_be_listed_hold_up_no_change_of_the_children(
    cluster: InMemoryCluster, serving: RunningOperator
) -> None:
    pod = factories.pod(spec={"nodeName": "worker"}, status={"phase": "Pending", "startTime": "2026-01-01T00:00:00Z"})
    serving.clock.advance(60)
    cluster.put(pod)
    cluster.fail_until_healed("list_events", ForbiddenError(403, "Forbidden", "events is forbidden"))
    cluster.edit(kinds.INFERENCE_SERVICE, KEY, lambda body: body["spec"].update(replicas=3))
    await serving.run()
    assert serving.failures != []
    deployment = cluster.see(kinds.DEPLOYMENT, KEY)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 3
