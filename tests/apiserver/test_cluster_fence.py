"""What a process sends to a real API server when it may not write, or not for long."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.controller.cluster.fence import Fence
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.cluster.login import login
from modelyard.controller.cluster.protocol import ConflictError, NotLeadingError, UnreachableError
from modelyard.controller.reconcile.events import event
from tests.support import factories
from tests.support.apiserver import ApiServer
from tests.support.wire import wire


@pytest.fixture
async def fence() -> Fence:
    """A fence that is closed."""
    return Fence(asyncio.get_running_loop().time)


@pytest.fixture
def calls() -> list[str]:
    """The verbs of the calls that were made."""
    return []


@pytest.fixture
async def cluster(apiserver: ApiServer, fence: Fence, calls: list[str]) -> AsyncIterator[KubernetesCluster]:
    configuration = await login(apiserver.kubeconfig())
    made = KubernetesCluster(configuration, lambda verb, _: calls.append(verb), fence=fence)
    yield made
    await made.close()


def child(namespace: str) -> Object:
    metadata = {"name": "child", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}


async def test_no_write_leaves_a_process_that_may_not_write(
    cluster: KubernetesCluster, namespace: str, calls: list[str]
) -> None:
    service, place = factories.service(namespace=namespace), Key(namespace, "child")
    for write in (
        cluster.apply(child(namespace)),
        cluster.overwrite(child(namespace)),
        cluster.delete(kinds.SERVICE, place, "any", "1"),
        cluster.patch_status(service, {}),
        cluster.label(kinds.NODE, Key("", "any"), "any", {"any": None}),
        cluster.create_event(event(service, "Normal", "Any", "any", instance="test", now=datetime.now(UTC))),
    ):
        with pytest.raises(NotLeadingError):
            await write
    assert calls == []
    assert await cluster.get(kinds.SERVICE, place) is None


async def test_a_write_waits_no_longer_than_its_process_may_write(
    apiserver: ApiServer, fence: Fence, namespace: str
) -> None:
    now_s = asyncio.get_running_loop().time
    with wire(apiserver) as way:
        slow = KubernetesCluster(await login(apiserver.kubeconfig(url=way.url)), lambda *_: None, fence=fence)
        with way.half_dead():
            fence.open(begin_until_s=now_s() + 60, end_by_s=now_s() + 1)
            with pytest.raises(UnreachableError, match=r"no answer within 0\."):
                await slow.apply(child(namespace))
        await slow.close()


async def test_a_lease_is_written_also_while_nothing_else_may_be(cluster: KubernetesCluster, namespace: str) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a", "namespace": namespace}}
    made = await cluster.create_lease(lease | {"spec": {"holderIdentity": "one"}})
    taken = await cluster.replace_lease(made | {"spec": {"holderIdentity": "two"}})
    assert taken["spec"] == {"holderIdentity": "two"}
    for outdated in (cluster.create_lease(lease), cluster.replace_lease(made)):
        with pytest.raises(ConflictError):
            await outdated
