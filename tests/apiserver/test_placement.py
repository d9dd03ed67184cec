"""Placement against a real API server: what a round changes of a node, and what it leaves alone."""

import pytest

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.kubernetes_client import KubernetesCluster
from modelyard.controller.cluster.protocol import ConflictError, NotFoundError
from modelyard.controller.metrics import Metrics
from modelyard.controller.placement.loop import Placement
from modelyard.integrations.signals.node_cache import NodeCache
from tests.support import factories
from tests.support.api_client import Client

DIGEST = "sha256:" + "a" * 64
OURS = f"{names.LABEL_MODEL_DOMAIN}/{factories.UID}"
STALE = f"{names.LABEL_MODEL_DOMAIN}/gone"
THEIRS = {"example.com/rack": "7", f"{names.GROUP}/pool": "gpu"}


@pytest.fixture
def node(admin: Client) -> Object:
    spec = {"taints": [{"key": "team", "value": "search", "effect": "NoSchedule"}]}
    labels = THEIRS | {STALE: "b" * 16}
    return admin.create(kinds.NODE, {"metadata": {"generateName": "worker-", "labels": labels}, "spec": spec})


async def test_a_round_sets_and_removes_its_own_labels_and_changes_nothing_else_of_a_node(
    cluster: KubernetesCluster, admin: Client, node: Object
) -> None:
    async def holds_the_model(_: str) -> NodeCache:
        return NodeCache(node["metadata"]["name"], path_missing=False, held={"team-a": frozenset({DIGEST})})

    cache = Cache()
    cache.upsert(kinds.NODE, {"apiVersion": "v1", "kind": "Node", **node})
    agent = factories.agent(node=node["metadata"]["name"])
    agent["metadata"]["resourceVersion"] = "1"
    cache.upsert(kinds.POD, agent)
    service = factories.service(status={"model": {"digest": DIGEST}})
    placement = Placement(
        cluster,
        cache,
        Metrics(),
        namespace="modelyard-system",
        services=lambda: [service],
        read=holds_the_model,
        now_s=lambda: 0.0,
    )
    await placement.round()
    found = admin.get(kinds.NODE, node["metadata"]["name"])
    assert found["metadata"]["labels"] == THEIRS | {OURS: "a" * 16}
    assert found["spec"] == node["spec"]
    await placement.round()
    again = admin.get(kinds.NODE, node["metadata"]["name"])
    assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


async def test_a_node_that_was_made_anew_under_its_name_is_another_one(
    cluster: KubernetesCluster, node: Object
) -> None:
    with pytest.raises(ConflictError):
        await cluster.label(kinds.NODE, Key("", node["metadata"]["name"]), "another-uid", {OURS: "a" * 16})
    with pytest.raises(NotFoundError):
        await cluster.label(kinds.NODE, Key("", "no-such-node"), "any", {OURS: "a" * 16})
