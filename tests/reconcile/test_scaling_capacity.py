"""Demand for five replicas and devices for two: what is wanted, what is said, and how fast it ends. By the real
decisions, on pods that a test makes as a ReplicaSet, a scheduler and engines would.
"""

from modelyard.api import kinds
from modelyard.api.conditions import timestamp
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.integrations.signals.engine_metrics import EngineSample
from tests.support import factories
from tests.support.conditions import condition
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.running_operator import RunningOperator
from tests.support.scaled_services import events, replicas, service

DEVICES = 2
GPU = "nvidia.com/gpu"
NO_GPU = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


class World:
    """A service on two nodes with one GPU each; ``load`` is how many replicas' work arrives."""

    def __init__(self, cluster: InMemoryCluster, operator: RunningOperator) -> None:
        self.cluster, self.operator, self.load = cluster, operator, 0.0
        self._work: dict[str, float] = {}
        for number in range(DEVICES):
            status = {"allocatable": {GPU: "1"}, "conditions": [{"type": "Ready", "status": "True"}]}
            cluster.put(factories.node(name=f"gpu-{number}", status=status))
        cluster.put(factories.service(scaling={"minReplicas": 1, "maxReplicas": 6, "targets": {"runningRequests": 10}}))

    async def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self._follow()
            self._report()
            await self.operator.tick()

    @property
    def pods(self) -> list[Object]:
        return self.cluster.see_all(kinds.POD)

    def _follow(self) -> None:
        """The ReplicaSet makes and deletes pods, those without a node first; the first two find a node."""
        wanted = replicas(self.cluster)
        for number in range(wanted, 6):
            if self.cluster.see(kinds.POD, Key("team-a", f"pod-{number}")):
                self.cluster.remove(kinds.POD, Key("team-a", f"pod-{number}"))
        for number in range(wanted):
            if not self.cluster.see(kinds.POD, Key("team-a", f"pod-{number}")):
                self.cluster.put(self._pod(number))

    def _pod(self, number: int) -> Object:
        now = timestamp(self.operator.now())
        deployment = self.cluster.see(kinds.DEPLOYMENT, Key("team-a", "smollm"))
        assert deployment is not None
        template = deployment["spec"]["template"]
        container = {"name": names.CONTAINER_ENGINE, "resources": {"requests": {GPU: "1"}}}
        body = factories.pod(name=f"pod-{number}", uid=f"uid-{number}", spec={"containers": [container]})
        body["metadata"]["annotations"] = template["metadata"]["annotations"]
        body["metadata"]["creationTimestamp"] = now
        if number >= DEVICES:
            refused = {"type": "PodScheduled", "status": "False", "message": NO_GPU, "lastTransitionTime": now}
            return body | {"status": {"phase": "Pending", "conditions": [refused]}}
        body["spec"]["nodeName"] = f"gpu-{number}"
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        state = {"name": names.CONTAINER_ENGINE, "ready": True, "started": True, "restartCount": 0}
        running = {"state": {"running": {"startedAt": now}}}
        return body | {
            "status": {
                "phase": "Running",
                "podIP": f"10.0.0.{number}",
                "startTime": now,
                "conditions": [ready],
                "containerStatuses": [state | running],
            }
        }

    def _report(self) -> None:
        serving = [pod["metadata"]["uid"] for pod in self.pods if pod["status"]["phase"] == "Running"]
        for uid in serving:
            self._work[uid] = self._work.get(uid, 0.0) + 10 * self.load / len(serving)
            self.operator.samples[uid] = EngineSample(
                self.operator.now().timestamp(),
                waiting=0.0,
                running=10 * self.load / len(serving),
                kv_usage=0.3,
                prompt_tokens_total=100 * self._work[uid],
                generation_tokens_total=100 * self._work[uid],
                finished_total=self._work[uid],
                first_tokens_total=self._work[uid],
                iterations_total=100 * self._work[uid],
            )


async def test_more_is_wanted_than_fits_and_the_pending_ones_go_at_once_when_demand_falls(
    cluster: InMemoryCluster,
) -> None:
    world = World(cluster, RunningOperator(cluster))
    await world.operator.run()
    world.load = 4.8
    await world.run(8)
    found = service(cluster)["status"]["scaling"]
    assert found["achievable"] == DEVICES
    assert DEVICES < found["desired"] <= 5
    assert "Held by team-a/smollm (2)" in found["message"]
    assert condition(cluster, "Available")["reason"] == "InsufficientAccelerators"
    desired, told = found["desired"], len(cluster.events)
    await world.run(10)
    assert service(cluster)["status"]["scaling"]["desired"] == desired, "it stops rising"
    assert len(cluster.events) == told
    assert len(events(cluster, "ScalingLimited")) == 1

    world.load = 0.9
    await world.run(2)
    world._follow()
    assert len(world.pods) <= DEVICES, "pods without a node go at once"
    assert "achievable" not in service(cluster)["status"]["scaling"]
    assert replicas(cluster) == DEVICES, "those that serve leave by the rates"
    await world.run(40)
    assert replicas(cluster) == 1
