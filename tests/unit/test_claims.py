"""Which namespaces an installation writes to."""

from datetime import UTC, datetime, timedelta

import pytest

from modelyard.api import kinds
from modelyard.api.scope import Scope
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import NotFoundError
from modelyard.controller.dispatch.namespace_claims import ClaimError, Claims, holder_of
from tests.support.in_memory_cluster import InMemoryCluster

CLAIMED_AT = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE_S = 75.0
LONG_AGO = timedelta(hours=1)


def claim(holder: str, namespace: str = "team-a") -> Object:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": names.CLAIM_LEASE,
            "namespace": namespace,
            "uid": "uid-of-the-claim",
            "resourceVersion": "5",
            "creationTimestamp": CLAIMED_AT.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "spec": {"holderIdentity": holder},
    }


def claims(
    *known: Object, installation: str = "ours", namespaces: tuple[str, ...] = (), age: timedelta = LONG_AGO
) -> Claims:
    cache = Cache()
    for body in known:
        cache.upsert(kinds.LEASE, body)
    return Claims(
        cache, installation=installation, scope=Scope(namespaces), settle_s=SETTLE_S, now=lambda: CLAIMED_AT + age
    )


def test_without_claims_all_belongs_to_an_installation_for_the_whole_cluster() -> None:
    assert claims().wait_s("team-a") == 0


@pytest.mark.parametrize("holder", ["theirs", "ours"])
def test_it_leaves_every_claimed_namespace_alone_and_no_other(holder: str) -> None:
    assert claims(claim(holder)).wait_s("team-a") is None
    assert claims(claim(holder)).wait_s("team-b") == 0


def test_one_that_is_limited_writes_where_its_claim_is() -> None:
    assert claims(claim("ours"), namespaces=("team-a",)).wait_s("team-a") == 0


@pytest.mark.parametrize("known", [(), (claim("theirs"),), (claim("ours", "team-b"),)])
def test_one_that_is_limited_writes_in_no_other_namespace(known: tuple[Object, ...]) -> None:
    limited = claims(*known, namespaces=("team-a",))
    assert [limited.wait_s(namespace) for namespace in ("team-a", "team-b")] == [None, None]


@pytest.mark.parametrize(("age_s", "wait_s"), [(-5, 80), (0, 75), (70, 5), (75, 0), (100, 0)])
def test_a_new_claim_counts_once_all_have_seen_it(age_s: float, wait_s: float) -> None:
    new = claims(claim("ours"), namespaces=("team-a",), age=timedelta(seconds=age_s))
    assert new.wait_s("team-a") == wait_s


async def test_each_namespace_is_claimed_without_an_expiry_and_only_once() -> None:
    cluster = InMemoryCluster()
    limited = claims(namespaces=("team-a", "team-b"))
    await limited.take(cluster)
    before = cluster.see_all(kinds.LEASE)
    await limited.take(cluster)
    assert cluster.see_all(kinds.LEASE) == before
    assert [body["spec"] for body in before] == [{"holderIdentity": "ours"}, {"holderIdentity": "ours"}]
    assert {body["metadata"]["labels"][names.LABEL_CLAIM] for body in before} == {names.CLAIM}


async def test_one_for_the_whole_cluster_claims_nothing() -> None:
    cluster = InMemoryCluster()
    await claims().take(cluster)
    assert cluster.calls == []


async def test_a_namespace_of_another_operator_is_refused_with_what_to_do() -> None:
    cluster = InMemoryCluster()
    cluster.put(claim("theirs"))
    with pytest.raises(ClaimError, match=r"installation theirs.*kubectl -n team-a delete lease modelyard-claim"):
        await claims(namespaces=("team-a",)).take(cluster)


async def test_of_two_that_claim_at_once_one_is_refused() -> None:
    class Slow(InMemoryCluster):
        """Another operator claims between the look and the creation."""

        async def create_lease(self, lease: Object) -> Object:
            if self.see(kinds.LEASE, Key("team-a", names.CLAIM_LEASE)) is None:
                self.put(claim("theirs"))
            return await super().create_lease(lease)

    with pytest.raises(ClaimError, match="installation theirs"):
        await claims(namespaces=("team-a",)).take(Slow())


async def test_a_missing_namespace_is_named() -> None:
    cluster = InMemoryCluster()
    cluster.fail_next("create_lease", NotFoundError(404, "NotFound", 'namespaces "team-a" not found'))
    with pytest.raises(ClaimError, match="namespace team-a, which the setting namespaces names, does not exist"):
        await claims(namespaces=("team-a",)).take(cluster)


def test_a_claim_concerns_the_services_of_its_namespace() -> None:
    cache = Cache()
    for namespace in ("team-a", "team-b"):
        metadata = {"name": "smollm", "namespace": namespace, "uid": f"uid-in-{namespace}", "resourceVersion": "1"}
        cache.upsert(kinds.INFERENCE_SERVICE, {"metadata": metadata})
    made = claim("theirs")
    assert cache.upsert(kinds.LEASE, made) == {Key("team-a", "smollm")}
    assert cache.upsert(kinds.LEASE, made) == frozenset()
    assert cache.delete(kinds.LEASE, made) == {Key("team-a", "smollm")}


def test_a_claim_without_a_holder_belongs_to_no_one() -> None:
    assert holder_of({"metadata": {}}) == ""
