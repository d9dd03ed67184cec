"""kill -9 at any moment leaves the cache without the model or with all of it, and the next attempt goes on."""

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tests.fetcher.conftest import Node, Pod
from tests.support.faulty_proxy import Answer, FaultyProxy
from tests.support.object_store import ObjectStore
from tests.support.preloaded import Preloaded, preloaded

KILLS = 200
MIB = 1024 * 1024
CONTENT = random.Random(3).randbytes(MIB)
MODEL = {"config.json": b"{}", "weights/a": CONTENT, "weights/b": CONTENT[::-1], "empty": b""}


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    for name, content in MODEL.items():
        store.put(f"model/{name}", content)


@pytest.fixture
def program(node: Node) -> Iterator[Preloaded]:
    with preloaded(
        "modelyard.fetcher.__main__", ["modelyard.fetcher.sources.s3.bucket"], node.pod().environment
    ) as program:
        yield program


def slow(answer: Answer, data: bytes) -> bytes:
    """A link that takes its time for the weights, so that many a moment lies in the middle of them."""
    if answer.request.startswith("GET ") and "weights" in answer.request:
        threading.Event().wait(0.005)
    return data


def run_and_kill(program: Preloaded, pod: Pod, moment_s: float) -> int:
    """Returns the exit code: an attempt may have ended before its moment came."""
    pid = program.start(pod.environment)
    threading.Event().wait(moment_s)  # the moment of the kill, not a wait for anything
    os.kill(pid, signal.SIGKILL)
    return program.exit_code(pid)


def is_whole_or_absent(node: Node, pod: Pod) -> bool:
    """Whether there is the whole model; each entry must be whole, and the pod's link lead to one or to nothing."""
    entries = list(node.layout.entries.iterdir())
    for entry in entries:
        assert {str(file.relative_to(entry)): file.read_bytes() for file in entry.rglob("*") if file.is_file()} == MODEL
    assert pod.files() in ({}, MODEL)
    return bool(entries)


def duration_s(program: Preloaded, node: Node, pod: Pod) -> float:
    """How long an undisturbed attempt takes."""
    begun_s = time.monotonic()
    assert program.exit_code(program.start(pod.environment)) == 0
    assert is_whole_or_absent(node, pod)
    evict(node)
    return time.monotonic() - begun_s


def evict(node: Node) -> None:
    for entry in node.layout.entries.iterdir():
        shutil.rmtree(entry)
    for record in node.layout.records.iterdir():
        record.unlink()


def test_two_hundred_kills_leave_no_model_or_all_of_it(node: Node, link: FaultyProxy, program: Preloaded) -> None:
    link.fault = slow
    moments = random.Random(7)
    pods = [node.pod() for _ in range(3)]
    latest_s = 1.2 * min(duration_s(program, node, pod) for pod in pods)
    kills = wholes = 0
    while kills < KILLS:
        pod = moments.choice(pods)
        was_killed = run_and_kill(program, pod, moments.uniform(0, latest_s)) == -signal.SIGKILL
        kills += was_killed
        latest_s *= 1.01 if was_killed else 0.95  # attempts take longer or shorter as the machine's load changes
        if is_whole_or_absent(node, pod):
            wholes += 1
            evict(node)
    assert 0 < wholes < kills
    assert program.exit_code(program.start(pods[0].environment)) == 0
    assert pods[0].files() == MODEL
