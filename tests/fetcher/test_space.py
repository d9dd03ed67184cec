"""The node agent grants space in the node's cache: requested before the first byte, held until the last."""

import random
import signal
import threading
from collections.abc import Iterator

import pytest

from modelyard.contract import names
from modelyard.fetcher import agent_client
from tests.fetcher.conftest import Node, Pod
from tests.support import faulty_proxy
from tests.support.cache_agent import Answer as AgentAnswer
from tests.support.cache_agent import CacheAgent, cache_agent, grant
from tests.support.eventually import eventually
from tests.support.faulty_proxy import FaultyProxy
from tests.support.object_store import ObjectStore

MIB = 1024 * 1024
WEIGHTS = random.Random(6).randbytes(6 * MIB)
FIRST_BYTES = 2 * MIB
MODEL = {"config.json": b"{}", "weights": WEIGHTS}


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    for name, content in MODEL.items():
        store.put(f"model/{name}", content)


@pytest.fixture
def held(link: FaultyProxy) -> Iterator[threading.Event]:
    """The weights stop after FIRST_BYTES until this is set."""
    with faulty_proxy.held(link, "weights", FIRST_BYTES) as go_on:
        yield go_on


def node_local(node: Node) -> Pod:
    pod = node.pod()
    pod.environment[names.ENV_CACHE_MEDIUM] = names.MEDIUM_NODE_LOCAL
    return pod


def refuse(reason: str, message: str = "5 GiB are needed: use larger nodes") -> AgentAnswer:
    return lambda _: {"granted": False, "reason": reason, "message": message}


def test_space_for_the_whole_model_is_requested_and_released_at_the_end(
    node: Node, agent: CacheAgent, held: threading.Event
) -> None:
    pod = node_local(node)
    running = pod.start()
    pod.bytes_come()
    assert agent.grants == 1
    held.set()
    assert running.ends() == 0
    report = pod.last_report()
    assert report["medium"] == "NodeLocal"
    assert agent.requests == [{"ask": "space", "digest": report["digest"], "bytes": len(WEIGHTS) + 2}]
    eventually(lambda: agent.grants == 0)
    assert pod.files() == MODEL


@pytest.mark.parametrize("reason", ["BudgetTooSmall", "CacheFull", "OverBudget"])
def test_a_refusal_is_reported_with_the_agents_reason_and_message(node: Node, agent: CacheAgent, reason: str) -> None:
    agent.answer = refuse(reason)
    error = node_local(node).failed_attempt()
    assert (error.reason, error.message) == (reason, "5 GiB are needed: use larger nodes")


def test_a_refusal_with_another_reason_means_that_there_is_no_room_now(node: Node, agent: CacheAgent) -> None:
    agent.answer = refuse("OnHoliday", "come\x1b[31m back \n")
    error = node_local(node).failed_attempt()
    assert (error.reason, error.message) == ("CacheFull", "come[31m back ")


def test_a_refused_fetch_goes_on_once_there_is_room(node: Node, agent: CacheAgent) -> None:
    agent.answer = refuse("CacheFull")
    pod = node_local(node)
    running = pod.start()
    assert pod.error()["reason"] == "CacheFull"
    agent.answer = grant
    assert running.ends() == 0
    assert pod.files() == MODEL


def test_without_an_agent_the_error_names_where_to_look(node: Node) -> None:
    error = node_local(node).failed_attempt()
    assert error.reason == "CacheAgentUnavailable"
    assert "check the pod of modelyard-node on this node" in error.message


@pytest.mark.parametrize(
    "answer", [None, {"error": "failed"}, b"", b"hello\n", b"[]\n", b'{"granted": ', b"x" * 5000, b"[" * 4000 + b"\n"]
)
def test_an_agent_that_gives_no_answer_is_reported(
    node: Node, agent: CacheAgent, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_client, "ANSWER_LIMIT_S", 0.2)
    agent.answer = lambda _: answer
    assert node_local(node).failed_attempt().reason == "CacheAgentUnavailable"


def test_what_is_in_the_cache_needs_no_agent(node: Node) -> None:
    with cache_agent(node.layout.agent_socket):
        node_local(node).attempt()
    second = node_local(node)
    assert second.attempt().cache_hit
    assert second.files() == MODEL


def test_a_cache_of_the_pods_own_needs_no_agent(node: Node, agent: CacheAgent) -> None:
    node.pod().attempt()
    assert agent.requests == []


def test_space_is_requested_again_from_an_agent_that_restarts_while_the_download_goes_on(
    node: Node, agent: CacheAgent, held: threading.Event
) -> None:
    pod = node_local(node)
    running = pod.start()
    pod.bytes_come()
    agent.stop()
    running.logs("the node agent disconnected")
    assert pod.state()["phase"] == "Downloading"
    agent.start()
    eventually(lambda: agent.grants == 1)
    assert agent.requests[0] == agent.requests[1]
    held.set()
    assert running.ends() == 0
    assert pod.last_report()["fetchedBytes"] == len(WEIGHTS) + 2


def test_a_fetch_ends_well_while_the_agent_is_away(node: Node, agent: CacheAgent, held: threading.Event) -> None:
    pod = node_local(node)
    running = pod.start()
    pod.bytes_come()
    agent.stop()
    held.set()
    assert running.ends() == 0
    assert pod.files() == MODEL


def test_a_fetch_whose_room_a_restarted_agent_gave_away_stops_and_keeps_what_it_has(
    node: Node, agent: CacheAgent, held: threading.Event
) -> None:
    pod = node_local(node)
    running = pod.start()
    pod.bytes_come()
    agent.stop()
    agent.answer = refuse("CacheFull")
    agent.start()
    eventually(lambda: len(agent.requests) > 1)
    held.set()
    assert pod.error()["reason"] == "CacheFull"
    assert pod.files() == {}
    assert pod.left_in_staging() != []
    agent.answer = grant
    assert running.ends() == 0
    assert pod.files() == MODEL


def test_a_fetcher_that_is_killed_gives_its_room_back(node: Node, agent: CacheAgent, held: threading.Event) -> None:
    pod = node_local(node)
    running = pod.start()
    pod.bytes_come()
    assert agent.grants == 1
    running.signal(signal.SIGKILL)
    eventually(lambda: agent.grants == 0)
    assert not held.is_set()


def corrupt(node: Node, pod: Pod) -> str:
    """The digest of an entry that the agent has found corrupt."""
    digest = pod.attempt().digest
    assert digest
    (node.layout.entry(digest) / "config.json").write_bytes(b"[]")
    node.layout.corrupt(digest).touch()
    return digest


def test_a_corrupt_entry_is_fetched_anew_and_engines_keep_the_old_one(node: Node, agent: CacheAgent) -> None:
    first, second = node_local(node), node_local(node)
    digest = corrupt(node, first)
    mounted = (node.layout.entry(digest) / "weights").open("rb")
    state = second.attempt()
    assert (state.cache_hit, state.fetched_bytes) == (False, len(WEIGHTS) + 2)
    assert second.files() == MODEL
    assert not node.layout.corrupt(digest).exists()
    assert [folder.name.startswith("broken-") for folder in node.layout.staging.iterdir()] == [True]
    with mounted:
        assert mounted.read() == WEIGHTS
    assert {request["ask"] for request in agent.requests} == {"space"}
