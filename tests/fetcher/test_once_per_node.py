"""Pods of one node and namespace fetch a model once, however many request it and whichever of them dies."""

import random
import shutil
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from modelyard.fetcher.disk import lock
from tests.fetcher.conftest import Node, Pod
from tests.support.background_process import REPOSITORY, BackgroundProcess
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Answer, FaultyProxy
from tests.support.object_store import FORBIDDEN, ObjectStore
from tests.support.preloaded import preloaded

MIB = 1024 * 1024
WEIGHTS = random.Random(5).randbytes(12 * MIB)
MODEL = {"config.json": b"{}", "weights": WEIGHTS}
FIRST_BYTES = 4 * MIB


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    for name, content in MODEL.items():
        store.put(f"model/{name}", content)


class Traffic:
    """A fault that only counts the bytes that pass, unless it is set to hold the weights back after FIRST_BYTES."""

    def __init__(self) -> None:
        self.passed_bytes = 0
        self.requests: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, answer: Answer, data: bytes) -> bytes:
        self.passed_bytes += len(data)
        if not answer.passed_bytes:
            self.requests.append(answer.request)
        if answer.request.startswith("GET ") and "weights" in answer.request and answer.passed_bytes > FIRST_BYTES:
            self.go_on.wait()
        return data


@pytest.fixture
def traffic(link: FaultyProxy) -> Iterator[Traffic]:
    link.fault = traffic = Traffic()
    yield traffic
    traffic.go_on.set()


def waits(pod: Pod) -> bool:
    return pod.state().get("phase") == "Waiting"


def test_twenty_pods_at_once_fetch_the_bytes_once(node: Node, traffic: Traffic) -> None:
    pods = [node.pod() for _ in range(20)]
    with preloaded(
        "modelyard.fetcher.__main__", ["modelyard.fetcher.sources.s3.bucket"], pods[0].environment
    ) as program:
        running = [program.start(pod.environment) for pod in pods]
        codes = [program.exit_code(pid) for pid in running]
    assert [pod.last_report()["error"] for pod in pods] == [None] * len(pods)
    assert codes == [0] * len(pods)
    assert [pod.files() == MODEL for pod in pods] == [True] * len(pods)
    reports = [pod.last_report() for pod in pods]
    size_bytes = len(WEIGHTS) + 2
    assert sum(report["fetchedBytes"] for report in reports) == size_bytes
    assert sorted(report["cacheHit"] for report in reports) == [False, *[True] * 19]
    assert size_bytes < traffic.passed_bytes < 1.05 * size_bytes  # the rest is lists and headers
    assert list(node.layout.staging.iterdir()) == []


def test_a_pod_that_waits_shows_the_progress_of_the_pod_that_fetches(node: Node, traffic: Traffic) -> None:
    traffic.go_on.clear()
    first, second = node.pod(), node.pod()
    fetching = first.start()
    first.bytes_come()
    waiting = second.start()
    state = eventually(second.state, lambda state: state.get("phase") == "Waiting" and state["bytesDone"] > 0)
    assert state["waitingForPod"] == first.uid
    assert (state["bytesTotal"], state["fetchedBytes"], state["cacheHit"]) == (len(WEIGHTS) + 2, 0, None)
    assert waiting.logs(f"pod {first.uid} on this node is fetching")
    traffic.go_on.set()
    assert (fetching.ends(), waiting.ends()) == (0, 0)
    assert second.files() == MODEL
    report = second.last_report()
    assert (report["phase"], report["cacheHit"], report["fetchedBytes"]) == ("Done", True, 0)
    assert report["waitingForPod"] == first.uid
    assert first.last_report()["fetchedBytes"] == len(WEIGHTS) + 2


def test_when_the_pod_that_fetches_dies_one_of_those_who_wait_goes_on_where_it_ended(
    node: Node, traffic: Traffic
) -> None:
    traffic.go_on.clear()
    holder, *others = (node.pod() for _ in range(4))
    dying = holder.start()
    eventually(lambda: list(node.layout.staging.glob("*/model/config.json")))
    holder.bytes_come()
    running = [pod.start() for pod in others]
    eventually(lambda: all(map(waits, others)))
    dying.signal(signal.SIGKILL)
    dying.ends()
    traffic.requests.clear()
    eventually(lambda: any(pod.state().get("phase") == "Downloading" for pod in others))
    traffic.go_on.set()
    assert [process.ends() for process in running] == [0, 0, 0]
    assert [pod.files() for pod in others] == [MODEL] * 3
    reports = [pod.last_report() for pod in others]
    assert sorted(report["cacheHit"] for report in reports) == [False, True, True]
    assert max(report["fetchedBytes"] for report in reports) <= len(WEIGHTS)  # config.json was there already


def test_a_pod_that_fails_keeps_no_other_waiting(node: Node, traffic: Traffic) -> None:
    traffic.go_on.clear()
    holder, other = node.pod(), node.pod()
    dying = holder.start()
    holder.bytes_come()
    running = other.start()
    eventually(lambda: waits(other))
    dying.signal(signal.SIGTERM)
    assert dying.ends() == 128 + signal.SIGTERM
    traffic.go_on.set()
    assert running.ends() == 0
    assert other.files() == MODEL


def test_sigterm_ends_the_wait_for_another_pod_within_two_seconds(node: Node) -> None:
    pod = node.pod()
    digest = pod.attempt().digest
    assert digest
    node.layout.record(digest).unlink()
    with lock.locked(node.layout.lock(digest), lambda: None):
        running = pod.start()
        eventually(lambda: waits(pod))
        running.signal(signal.SIGTERM)
        assert running.ends(within_s=2.0) == 128 + signal.SIGTERM


def test_a_second_service_starts_from_the_cache_without_a_byte_but_one_of_each_file(
    node: Node, traffic: Traffic
) -> None:
    node.pod().attempt()
    traffic.passed_bytes = 0
    second = node.pod()
    state = second.attempt()
    assert (state.cache_hit, state.fetched_bytes, state.waiting_for_pod) == (True, 0, None)
    assert second.files() == MODEL
    assert traffic.passed_bytes < 20_000  # lists and headers


def opened_by_a_hit(node: Node) -> list[str]:
    """What a pod opens of the cache when it finds its model there."""
    pod = node.pod()
    log = pod.termination_log.with_name("opened")
    pod.environment["PYTHONPATH"] += f":{REPOSITORY}"
    command = (sys.executable, "-m", "tests.support.opened_files", log, "modelyard.fetcher.__main__")
    with BackgroundProcess(command, pod.environment) as running:
        assert running.ends() == 0, running.output
    assert pod.last_report()["cacheHit"] is True
    root = f"{node.layout.root}/"
    return [line.removeprefix(root) for line in log.read_text().splitlines() if line.startswith(root)]


def test_a_hit_opens_the_record_the_lock_and_the_links_however_many_files_the_model_has(
    store: ObjectStore, node: Node
) -> None:
    first = node.pod().attempt().digest
    assert first
    few = opened_by_a_hit(node)
    for number in range(100):
        store.put(f"model/part-{number}", b"x")
    second = node.pod().attempt().digest
    assert second
    many = opened_by_a_hit(node)
    name = node.layout.entry(first).name
    looks = [f"records/{name}.json", "staging", f"locks/{name}", "by-pod"]
    assert set(few) == set(looks)
    assert [path.replace(node.layout.entry(second).name, name) for path in many] == few
    assert len(few) < 10


def test_an_entry_that_is_evicted_while_a_pod_requests_it_is_fetched_again(
    node: Node, traffic: Traffic, link: FaultyProxy
) -> None:
    digest = node.pod().attempt().digest
    assert digest

    def evict(answer: Answer, data: bytes) -> bytes:
        if answer.request.startswith("GET ") and "weights" in answer.request and not traffic.requests:
            traffic.requests.append(answer.request)
            shutil.rmtree(node.layout.entry(digest))
        return data

    link.fault = evict
    traffic.requests.clear()
    pod = node.pod()
    state = pod.attempt()
    assert (state.cache_hit, state.fetched_bytes) == (False, len(WEIGHTS) + 2)
    assert pod.files() == MODEL


def test_a_user_who_may_not_read_the_bucket_does_not_get_the_cached_copy(store: ObjectStore, node: Node) -> None:
    for name, content in MODEL.items():
        store.admin.put_object(Bucket=FORBIDDEN, Key=f"model/{name}", Body=content)
    allowed, denied = node.pod(), node.pod()
    for pod in (allowed, denied):
        pod.environment["MODELYARD_MODEL_URI"] = f"s3://{FORBIDDEN}/model"
    allowed.give_secret("admin", "admin-secret")
    allowed.attempt()
    assert allowed.files() == MODEL
    assert denied.failed_attempt().reason == "AccessDenied"
    assert not denied.model().is_symlink()


def test_a_user_who_may_list_the_model_but_not_read_each_file_does_not_get_the_copy(
    node: Node, link: FaultyProxy
) -> None:
    node.pod().attempt()
    denied = node.pod()
    refusal = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(refusal)

    def refuse_the_weights(answer: Answer, data: bytes) -> bytes:
        is_refused = answer.request.startswith("GET ") and "model/weights" in answer.request
        return (b"" if answer.passed_bytes else head + refusal) if is_refused else data

    link.fault = refuse_the_weights
    assert denied.failed_attempt().reason == "AccessDenied"
    assert not denied.model().is_symlink()
