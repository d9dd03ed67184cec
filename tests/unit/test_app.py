"""How the operator starts in a cluster that is not as it should be."""

import pytest
import yaml

from modelyard import app, kinds, names
from modelyard.api.service import Key
from modelyard.cache import Cache
from modelyard.cluster import Cluster, NotFoundError, UnreachableError
from modelyard.resync import Resync
from modelyard.workqueue import WorkQueue
from tests.support import factories
from tests.support.clock import FakeClock
from tests.support.in_memory_cluster import InMemoryCluster
from tests.support.program import ROLE


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


def test_what_it_asks_for_at_the_start_is_what_its_role_allows() -> None:
    [role, _] = yaml.safe_load_all(ROLE.read_text())
    allowed = {
        (verb, group, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    needed = {(verb, kind.group, "/".join(filter(None, [kind.plural, sub]))) for verb, kind, sub in app.NEEDED}
    # Asked of by the API server's own admission, not by a call of ours.
    assert allowed - needed == {("update", names.GROUP, f"{names.PLURAL}/finalizers")}
    assert needed - allowed == set()
