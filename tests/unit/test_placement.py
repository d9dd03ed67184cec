"""The loop that labels nodes: which agents it queries, what it writes, and what a silent or hostile agent can do."""

import asyncio

import pytest
import yaml

from modelyard.api import kinds
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.cache import Cache
from modelyard.controller.cluster.protocol import ConflictError, ForbiddenError, NotLeadingError
from modelyard.controller.metrics import Metrics
from modelyard.controller.placement.loop import CHANGES_PER_ROUND, GONE_S, Placement
from modelyard.integrations.signals.node_cache import NodeCache
from modelyard.observe.facts.csi_nodes import agents
from tests.support import factories
from tests.support.in_memory_cluster import InMemoryCluster, matches, place_of
from tests.support.rendering import REPOSITORY

HOME = "modelyard-system"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LABEL = f"{names.LABEL_MODEL_DOMAIN}/{factories.UID}"


class Cluster:
    """A cluster with nodes and agents, and the loop's own view of it. ``caches`` are the answers by address."""

    def __init__(self) -> None:
        self.api = InMemoryCluster()
        self.cache = Cache()
        self.metrics = Metrics()
        self.caches: dict[str, NodeCache] = {}
        self.queried: list[str] = []
        self.now_s = 1000.0
        self.api.on_change = self._on_event
        self.placement = Placement(
            self.api,
            self.cache,
            self.metrics,
            namespace=HOME,
            services=lambda: self.cache.all_of(kinds.INFERENCE_SERVICE),
            read=self._read,
            now_s=lambda: self.now_s,
        )

    def node(self, name: str = "worker", *held: str, ip: str = "10.0.0.9", labels: Object | None = None) -> None:
        """A node whose agent reports that pods of team-a brought these models."""
        body = factories.node(name=name)
        body["metadata"]["labels"] = {"kubernetes.io/hostname": name} | (labels or {})
        self.api.put(body)
        self.api.put(factories.agent(node=name, ip=ip))
        self.caches[ip] = NodeCache(name, path_missing=False, held={"team-a": frozenset(held)})

    def service(self, digest: str = DIGEST, **fields: str) -> None:
        self.api.put(factories.service(status={"model": {"digest": digest}}, **fields))  # type: ignore[arg-type] # names

    def label(self, name: str = "worker") -> str | None:
        node = self.api.see(kinds.NODE, Key("", name))
        assert node is not None
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == name
        found: str | None = node["metadata"]["labels"].get(LABEL)
        return found

    async def round(self) -> None:
        self.api.calls.clear()
        self.queried.clear()
        await self.placement.round()

    def shown(self, line: str) -> bool:
        return line in self.metrics.text().decode().splitlines()

    async def _read(self, address: str) -> NodeCache | None:
        self.queried.append(address)
        await asyncio.sleep(0)
        return self.caches.get(address)

    def _on_event(self, type_: str, kind: kinds.Kind, body: Object) -> None:
        if type_ == "DELETED":
            self.cache.delete(kind, body)
        else:
            self.cache.upsert(kind, body)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_a_node_is_labelled_once_it_holds_the_model_and_no_longer_than_that(cluster: Cluster) -> None:
    cluster.service()
    cluster.node("worker", OTHER, DIGEST)
    await cluster.round()
    assert cluster.label() == "a" * 16
    await cluster.round()
    assert cluster.api.calls == []
    cluster.node("worker", OTHER)
    await cluster.round()
    assert cluster.label() is None


async def test_a_silent_agent_changes_nothing(cluster: Cluster) -> None:
    cluster.service()
    cluster.node("worker", labels={LABEL: "a" * 16})
    cluster.caches.clear()
    await cluster.round()
    assert cluster.api.calls == []
    assert cluster.shown('modelyard_node_caches{state="silent"} 1.0')


@pytest.mark.parametrize(
    "pod",
    [
        factories.agent(namespace="team-a"),
        factories.agent(phase="Pending"),
        factories.agent(ip=""),
        {**factories.agent(), "spec": {}},
    ],
)
async def test_only_running_agents_of_the_operators_own_namespace_are_queried(cluster: Cluster, pod: Object) -> None:
    cluster.node("worker", DIGEST)
    cluster.api.remove(kinds.POD, place_of(factories.agent()))
    cluster.api.put(pod)
    await cluster.round()
    assert cluster.queried == []


def test_the_agents_that_are_installed_are_seen_by_the_operator_and_queried() -> None:
    installed = yaml.safe_load((REPOSITORY / "deploy/components/node-cache/daemon_set.yaml").read_text())
    pod = installed["spec"]["template"]
    pod["metadata"]["namespace"] = HOME
    assert matches(pod, kinds.WATCHED[kinds.POD])
    assert agents([pod], HOME) == [pod]


async def test_an_agents_report_counts_for_its_own_node_only(cluster: Cluster) -> None:
    cluster.service()
    cluster.node("worker")
    cluster.caches["10.0.0.9"] = NodeCache("another", path_missing=False, held={"team-a": frozenset({DIGEST})})
    await cluster.round()
    assert cluster.label() is None


async def test_a_node_whose_agent_is_gone_keeps_its_labels_for_as_long_as_an_upgrade_takes(cluster: Cluster) -> None:
    cluster.service()
    cluster.node("worker", DIGEST)
    await cluster.round()
    cluster.api.remove(kinds.POD, place_of(factories.agent()))
    for passed_s, label in ((GONE_S - 1, "a" * 16), (1, None)):
        cluster.now_s += passed_s
        await cluster.round()
        assert cluster.label() == label


async def test_an_operator_that_just_started_takes_no_agent_for_gone(cluster: Cluster) -> None:
    cluster.service()
    cluster.node("worker", labels={LABEL: "a" * 16})
    cluster.api.remove(kinds.POD, place_of(factories.agent()))
    await cluster.round()
    assert cluster.label() == "a" * 16


async def test_of_two_agents_on_a_node_the_running_one_is_queried(cluster: Cluster) -> None:
    cluster.node("worker")
    late = factories.agent(ip="10.0.0.10", phase="Pending")
    late["metadata"] |= {"name": "late", "uid": "late"}
    cluster.api.put(late)
    await cluster.round()
    assert cluster.queried == ["10.0.0.9"]


async def test_a_node_without_a_folder_for_models_is_counted_as_such(cluster: Cluster) -> None:
    cluster.node("worker")
    cluster.caches["10.0.0.9"] = NodeCache("worker", path_missing=True, held={})
    await cluster.round()
    assert cluster.shown('modelyard_node_caches{state="without-folder"} 1.0')
    assert cluster.shown('modelyard_node_caches{state="answering"} 0.0')


async def test_a_node_that_was_removed_meanwhile_holds_nothing_up(cluster: Cluster) -> None:
    cluster.service()
    cluster.node("gone", DIGEST, ip="10.0.0.1")
    cluster.node("worker", DIGEST, ip="10.0.0.2")
    cluster.api.fail_next("label", ConflictError(409, "Conflict", "another uid"))
    await cluster.round()
    assert [cluster.label("gone"), cluster.label("worker")] == [None, "a" * 16]


@pytest.mark.parametrize("error", [ForbiddenError(403, "Forbidden", "no"), NotLeadingError(0, "NotLeading", "no")])
async def test_a_refused_write_ends_the_round_and_is_made_up_for_in_the_next(
    cluster: Cluster, error: BaseException
) -> None:
    cluster.service()
    for number in range(3):
        cluster.node(f"worker-{number}", DIGEST, ip=f"10.0.0.{number}")
    cluster.api.fail_next("label", error)
    await cluster.round()
    assert len(cluster.api.calls) == 1
    assert cluster.shown("modelyard_nodes_to_label 3.0")
    await cluster.round()
    assert cluster.label("worker-2") == "a" * 16
    assert cluster.shown("modelyard_nodes_to_label 0.0")


async def test_a_thousand_services_on_five_hundred_nodes_cost_a_request_per_node_and_a_bounded_number_of_writes(
    cluster: Cluster,
) -> None:
    digests = [f"sha256:{number:064x}" for number in range(1000)]
    for number, digest in enumerate(digests):
        cluster.service(digest, name=f"s{number}", uid=f"uid-{number}")
    for number in range(500):
        held = digests[2 * number : 2 * number + 20]
        cluster.node(f"worker-{number}", *held, ip=f"10.1.{number // 250}.{number % 250}")
    rounds = 0
    while rounds < 11 and (rounds == 0 or cluster.api.calls):
        await cluster.round()
        rounds += 1
        assert len(cluster.queried) == 500
        assert {call.verb for call in cluster.api.calls} <= {"label"}
        assert len(cluster.api.calls) == (CHANGES_PER_ROUND if rounds <= 10 else 0)
    assert rounds == 11
