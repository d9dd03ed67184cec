"""A namespace's pods may run as different users: they share what is whole, and keep out of each other's way."""

import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.contract import names
from tests.fetcher.conftest import Node, Pod
from tests.support import faulty_proxy
from tests.support.background_process import BackgroundProcess
from tests.support.cache_agent import CacheAgent
from tests.support.eventually import eventually
from tests.support.faulty_proxy import FaultyProxy
from tests.support.object_store import ObjectStore

JANE, JOHN = 4711, 4712
MIB = 1024 * 1024
MODEL = {"config.json": b"{}", "weights": random.Random(4).randbytes(6 * MIB)}


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    for name, content in MODEL.items():
        store.put(f"model/{name}", content)


def pod_of(node: Node, user: int) -> Pod:
    """What is its own is its own user's."""
    pod = node.pod()
    pod.environment[names.ENV_CACHE_MEDIUM] = names.MEDIUM_NODE_LOCAL
    pod.termination_log.touch()
    for path in (pod.launcher_folder, pod.termination_log):
        os.chown(path, user, user)
    return pod


def start(pod: Pod, user: int) -> BackgroundProcess:
    """Runs as that user, who may write nothing of others; the right to read all is for the test's own Python."""
    assert os.geteuid() == 0, "this test becomes other users, which needs root"
    may_read = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search")
    return pod.start("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *may_read)


@pytest.fixture
def go_on(link: FaultyProxy) -> Iterator[threading.Event]:
    """The weights stop in their middle until this is set."""
    with faulty_proxy.held(link, "weights", MIB) as go_on:
        yield go_on


def test_what_one_user_brought_is_a_hit_for_another(node: Node, agent: CacheAgent) -> None:
    jane, john = pod_of(node, JANE), pod_of(node, JOHN)
    running = start(jane, JANE)
    assert running.ends() == 0, running.output
    running = start(john, JOHN)
    assert running.ends() == 0, running.output
    assert (jane.files(), john.files()) == (MODEL, MODEL)
    assert john.last_report()["cacheHit"]
    owners = {path.stat().st_uid for path in node.layout.entries.rglob("*")}
    assert owners == {JANE}
    assert [request["ask"] for request in agent.requests] == ["space"]  # Jane did


def test_a_fetch_that_another_user_left_half_done_is_begun_anew_beside_it(
    node: Node, agent: CacheAgent, go_on: threading.Event
) -> None:
    jane, john = pod_of(node, JANE), pod_of(node, JOHN)
    running = start(jane, JANE)
    jane.bytes_come()
    running.signal(signal.SIGKILL)
    running.ends()
    go_on.set()
    running = start(john, JOHN)
    assert running.ends() == 0, running.output
    assert john.files() == MODEL
    left = [(folder.name, folder.stat().st_uid) for folder in node.layout.staging.iterdir()]
    digest = john.last_report()["digest"]
    assert left == [(node.layout.staged(digest).name, JANE)]
    assert [request["ask"] for request in agent.requests] == ["space", "space"]


@pytest.mark.usefixtures("agent")
def test_users_wait_for_each_other(node: Node, go_on: threading.Event) -> None:
    jane, john = pod_of(node, JANE), pod_of(node, JOHN)
    fetching = start(jane, JANE)
    jane.bytes_come()
    waiting = start(john, JOHN)
    state = eventually(john.state, lambda state: state.get("waitingForPod") is not None)
    assert state["waitingForPod"] == jane.uid
    go_on.set()
    assert (fetching.ends(), waiting.ends()) == (0, 0)
    assert (jane.files(), john.files()) == (MODEL, MODEL)


def corrupt(node: Node, jane: Pod) -> str:
    """The digest of an entry of Jane's that the agent has found corrupt."""
    running = start(jane, JANE)
    assert running.ends() == 0, running.output
    digest: str = jane.last_report()["digest"]
    node.layout.corrupt(digest).touch()
    return digest


@pytest.mark.parametrize("user", [JANE, JOHN])
def test_an_entry_that_the_agent_found_corrupt_is_put_out_of_the_way_by_the_agent(
    node: Node, agent: CacheAgent, user: int
) -> None:
    jane, other = pod_of(node, JANE), pod_of(node, user)
    digest = corrupt(node, jane)

    def serve(request: dict[str, str]) -> object:
        if request["ask"] == "discard":
            shutil.rmtree(node.layout.entry(request["digest"]))
            for path in (node.layout.record(request["digest"]), node.layout.corrupt(request["digest"])):
                path.unlink()
        return {"granted": True, "discarded": True}

    agent.answer = serve
    running = start(other, user)
    assert running.ends() == 0, running.output
    assert other.files() == jane.files() == MODEL
    assert agent.requests[-1] == {"ask": "discard", "digest": digest}
    assert {path.stat().st_uid for path in node.layout.entries.rglob("*")} == {user}


@pytest.mark.parametrize(
    ("answer", "words"),
    [({"discarded": False, "message": "it is in use"}, "it is in use"), ({"discarded": True}, "cannot be replaced")],
)
def test_an_entry_that_stays_in_the_way_is_reported(
    node: Node, agent: CacheAgent, answer: dict[str, object], words: str
) -> None:
    jane, john = pod_of(node, JANE), pod_of(node, JOHN)
    corrupt(node, jane)
    agent.answer = lambda _: {"granted": True, **answer}
    start(john, JOHN)
    error = john.error()
    assert error["reason"] == "CacheNotWritable"
    assert words in error["message"]
    assert Path(node.layout.link(jane.uid)).exists()
