"""An operator that starts anew among many services that are as they should be."""

import asyncio
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import TypeVar

from modelyard.api import kinds
from modelyard.api.kinds import INFERENCE_SERVICE
from modelyard.api.service import Object, key_of
from modelyard.controller.cluster.fence import always_open
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.cluster.login import login
from tests.support.apiserver import OPERATOR, ApiServer
from tests.support.audit import writes
from tests.support.eventually import eventually
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.inference_services import minimal
from tests.support.program import Program, allow, started
from tests.support.running_operator import RunningOperator

SERVICES = 1000
AT_ONCE = 16
T = TypeVar("T")


async def all_of(calls: Iterable[Awaitable[T]]) -> list[T]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(call: Awaitable[T]) -> T:
        async with limit:
            return await call

    return await asyncio.gather(*map(one, calls))


async def served_services(apiserver: ApiServer, namespace: str) -> None:
    """Many services with the children and the status that the operator gives them, computed in memory."""
    cluster = KubernetesCluster(await login(apiserver.kubeconfig()), lambda *_: None, fence=always_open())
    header = {"apiVersion": INFERENCE_SERVICE.api_version, "kind": INFERENCE_SERVICE.kind}
    bodies = (header | minimal(namespace, f"model-{number}") for number in range(SERVICES))
    services = await all_of(cluster.apply(body) for body in bodies)
    memory = InMemoryCluster()
    operator = RunningOperator(memory)
    for body in services:
        memory.put(body)
    await operator.run()
    await all_of(cluster.apply(body) for kind in kinds.CHILDREN for body in map(rendered, memory.see_all(kind)))

    def status(body: Object) -> Object:
        found = memory.see(INFERENCE_SERVICE, key_of(body))
        assert found is not None
        reported: Object = found["status"]
        return reported

    await all_of(cluster.patch_status(body, status(body)) for body in services)
    await cluster.close()


def rendered(child: Object) -> Object:
    """A child as it was applied, without what the server in memory gave it."""
    metadata = {name: child["metadata"][name] for name in ("name", "namespace", "labels", "annotations")}
    owners = {"ownerReferences": child["metadata"]["ownerReferences"]}
    return {**child, "metadata": metadata | owners}


def has_looked_at_all(program: Program) -> bool:
    lines = program.answers("/metrics")[1].splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    looked_at = float(values.get("modelyard_reconcile_seconds_count", 0))
    return looked_at >= SERVICES and float(values["modelyard_queue_oldest_seconds"]) == 0


async def test_a_restart_with_a_thousand_unchanged_services_writes_nothing(
    apiserver: ApiServer, namespace: str, tmp_path: Path
) -> None:
    allow(apiserver)
    await served_services(apiserver, namespace)
    program = started(apiserver, OPERATOR, tmp_path)
    with program.process:
        await asyncio.to_thread(eventually, lambda: has_looked_at_all(program), within_s=120, every_s=0.2)
        assert writes(apiserver, namespace) == []
