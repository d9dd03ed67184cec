"""A disk that is full: reported by name, nothing half done, and what has arrived is kept."""

import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.contract.cache_layout import CacheLayout
from modelyard.contract.fetch_report import Reason
from tests.fetcher.conftest import Pod
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Answer, Fault, FaultyProxy
from tests.support.object_store import ObjectStore

MIB = 1024 * 1024
DISK_BYTES = 64 * MIB
FILES = 60
MODEL = {f"weights-{number}": random.Random(number).randbytes(256 * 1024) for number in range(FILES)}
SIZE_BYTES = FILES * 256 * 1024
LARGE = random.Random(1).randbytes(25 * MIB)
"""With it, the model takes more than half of the disk."""


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    for name, content in MODEL.items():
        store.put(f"model/{name}", content)


@pytest.fixture
def disk(pod: Pod, tmp_path: Path) -> Iterator[Path]:
    """The pod's cache is an ext4 of its own, as a node's NVMe is."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    for command in (
        ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)],
        ["mount", "-o", "loop", str(image), str(pod.cache)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"this test mounts a small file system, which needs root: {done.stderr}"
    yield pod.cache
    subprocess.run(["umount", "--lazy", str(pod.cache)], check=True)


def fill(disk: Path, but_bytes: int) -> Path:
    """Takes all of the disk but so much."""
    about = os.statvfs(disk)
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, about.f_bavail * about.f_frsize - but_bytes)
    return filler


def is_weights(answer: Answer) -> bool:
    return answer.request.startswith("GET ") and "weights" in answer.request


def test_a_disk_that_becomes_full_in_the_middle_is_named_and_whole_files_do_not_come_again(
    disk: Path, pod: Pod, proxy: FaultyProxy
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(answer: Answer, data: bytes) -> bytes:
        if is_weights(answer):
            begun.set()
            go_on.wait()
        return data

    proxy.fault = hold
    running = pod.start()
    eventually(begun.is_set)  # not before: it first checks that the whole model has room
    filler = fill(disk, but_bytes=8 * MIB)
    go_on.set()
    error = pod.error()
    assert error["reason"] == "DiskFull"
    assert "Data that has arrived is kept" in error["message"]
    assert pod.files() == {}
    assert list(CacheLayout(disk).entries.iterdir()) == []
    requested: set[str] = set()

    def note(answer: Answer, data: bytes) -> bytes:
        if is_weights(answer):
            requested.add(answer.request)
        return data

    proxy.fault = note
    filler.unlink()
    assert running.ends() == 0
    assert pod.files() == MODEL
    assert 0 < len(requested) < FILES


@pytest.fixture
def large_file(store: ObjectStore) -> None:
    store.put("model/weights-large", LARGE)


def allocated_bytes(disk: Path) -> int:
    """What the large file takes on the disk while it is fetched."""
    return sum(path.stat().st_blocks * 512 for path in CacheLayout(disk).staging.glob("*/model/weights-large"))


@pytest.mark.usefixtures("large_file")
def test_what_a_killed_fetch_has_allocated_counts_as_here(disk: Path, pod: Pod, proxy: FaultyProxy) -> None:
    go_on = threading.Event()

    def hold(answer: Answer, data: bytes) -> bytes:
        if "weights-large" in answer.request and answer.passed_bytes > MIB:
            go_on.wait()
        return data

    proxy.fault = hold
    running = pod.start()
    eventually(lambda: allocated_bytes(disk) >= len(LARGE))
    pod.bytes_come()
    running.signal(signal.SIGKILL)
    running.ends()
    go_on.set()
    pod.run()
    assert pod.files() == MODEL | {"weights-large": LARGE}


def refused_once() -> Fault:
    """The first answer with the large file's bytes is a 403."""
    refused: list[Answer] = []

    def refuse(answer: Answer, data: bytes) -> bytes:
        if answer in refused:
            return b""
        if is_weights(answer) and "weights-large" in answer.request and not refused:
            refused.append(answer)
            return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        return data

    return refuse


def empty_answers() -> Fault:
    """Each connection for the large file's bytes ends before the first of them."""
    return lambda answer, data: None if is_weights(answer) and "weights-large" in answer.request else data


@pytest.mark.usefixtures("large_file")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [(refused_once, Reason.ACCESS_DENIED), (empty_answers, Reason.ENDPOINT_UNREACHABLE)],
    ids=["a 403 once", "an empty answer"],
)
def test_what_a_failed_attempt_has_allocated_counts_as_here(
    disk: Path, pod: Pod, proxy: FaultyProxy, fault: Callable[[], Fault], reason: Reason
) -> None:
    proxy.fault = fault()
    assert pod.failed_attempt().reason is reason
    assert allocated_bytes(disk) >= len(LARGE)
    proxy.fault = lambda _, data: data
    pod.attempt()
    assert pod.files() == MODEL | {"weights-large": LARGE}


def test_a_model_that_does_not_fit_is_refused_before_its_first_byte(disk: Path, pod: Pod) -> None:
    fill(disk, but_bytes=10 * MIB)
    error = pod.failed_attempt()
    assert error.reason == "DiskFull"
    assert f"the model needs {SIZE_BYTES} more bytes" in error.message
    assert list(CacheLayout(disk).staging.glob("*/model/*")) == []
