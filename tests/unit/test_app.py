"""How the operator starts in a cluster that is not as it should be."""

import pytest

from modelyard import app, kinds
from modelyard.api.service import Key
from modelyard.cache import Cache
from modelyard.cluster import Cluster, NotFoundError, UnreachableError
from modelyard.resync import Resync
from modelyard.workqueue import WorkQueue
from tests.support import factories
from tests.support.clock import FakeClock
from tests.support.in_memory_cluster import InMemoryCluster


def resync(cluster: Cluster, cache: Cache) -> Resync:
    queue: WorkQueue[Key] = WorkQueue(FakeClock(), random=lambda: 1.0)
    return Resync(cluster, cache, queue, lambda _: None, random=lambda: 0.5)


async def test_without_its_crd_it_says_how_to_install_it() -> None:
    cluster = InMemoryCluster()
    cluster.fail_next("list", NotFoundError(404, "NotFound", "no such resource"), kinds.INFERENCE_SERVICE)
    with pytest.raises(app.StartError, match=r"kubectl apply --server-side -f crds/"):
        await app._sync(cluster, resync(cluster, Cache()))


async def test_it_waits_for_an_api_server_that_does_not_answer_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "UNREACHABLE_WAIT_S", 0)
    cluster, cache = InMemoryCluster(), Cache()
    cluster.put(factories.service())
    for _ in range(3):
        cluster.fail_next("may", UnreachableError(0, "ClientConnectorError", "refused"))
    await app._sync(cluster, resync(cluster, cache))
    assert len(cache.all_of(kinds.INFERENCE_SERVICE)) == 1
