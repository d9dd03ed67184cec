"""Bad networks, bad disks and bad moments: afterwards the model is here whole, or not at all."""

import os
import random
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.contract.cache_layout import CacheLayout
from tests.fetcher.conftest import Pod
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Answer, Fault, FaultyProxy
from tests.support.object_store import MODELS, ObjectStore

MIB = 1024 * 1024
WEIGHTS = random.Random(1).randbytes(12 * MIB)
FIRST_BYTES = 4 * MIB


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    store.put("model/weights", WEIGHTS)


def is_weights(answer: Answer) -> bool:
    return answer.request.startswith("GET ") and "model/weights" in answer.request


class Held:
    """A fault: the weights stop after ``after_bytes`` until ``go_on`` is set."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.after_bytes = FIRST_BYTES

    def __call__(self, answer: Answer, data: bytes) -> bytes:
        if is_weights(answer) and answer.passed_bytes >= self.after_bytes:
            self.go_on.wait()
        return data


@pytest.fixture
def held(proxy: FaultyProxy) -> Iterator[Held]:
    proxy.fault = held = Held()
    yield held
    held.go_on.set()


def flipped_in(answers: int) -> Fault:
    """Flips one byte of the weights, in so many answers."""
    left = iter(range(answers))

    def flip(answer: Answer, data: bytes) -> bytes:
        if is_weights(answer) and answer.passed_bytes > FIRST_BYTES and next(left, None) is not None:
            return data[:-1] + bytes([data[-1] ^ 1])
        return data

    return flip


def test_a_byte_that_flipped_on_the_way_is_fetched_again(proxy: FaultyProxy, pod: Pod) -> None:
    proxy.fault = flipped_in(1)
    assert pod.attempt().bytes_done == len(WEIGHTS)
    assert pod.files() == {"weights": WEIGHTS}


def test_an_answer_that_is_cut_off_still_brings_the_file(proxy: FaultyProxy, pod: Pod) -> None:
    def cut_off(answer: Answer, data: bytes) -> bytes:
        if is_weights(answer) and answer.passed_bytes > 2 * MIB:
            raise ConnectionAbortedError  # the proxy closes both sides in good order
        return data

    proxy.fault = cut_off
    pod.attempt()
    assert pod.files() == {"weights": WEIGHTS}


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_store_that_takes_few_connections_at_once_and_resets_the_others_gives_the_model(
    store: ObjectStore, proxy: FaultyProxy, pod: Pod, at_once: int
) -> None:
    files = {f"weights-{number}": random.Random(number).randbytes(2 * MIB) for number in range(24)}
    for name, content in files.items():
        store.put(f"model/{name}", content)
    proxy.at_once = at_once
    pod.attempt()
    assert pod.files() == files | {"weights": WEIGHTS}


def test_an_object_that_is_removed_in_mid_download_is_reported(store: ObjectStore, held: Held, pod: Pod) -> None:
    store.put("model/config.json", b"{}")
    running = pod.start()
    pod.bytes_come()
    store.admin.delete_object(Bucket=MODELS, Key="model/weights")
    held.go_on.set()
    running.logs("SourceChanged")
    assert running.ends() == 0
    assert pod.files() == {"config.json": b"{}"}


@pytest.mark.usefixtures("held")
def test_sigterm_ends_a_blocked_download_within_two_seconds(pod: Pod) -> None:
    running = pod.start()
    pod.bytes_come()
    running.signal(signal.SIGTERM)
    assert running.ends(within_s=2.0) == 128 + signal.SIGTERM
    assert pod.last_report()["phase"] == "Stopped"
    assert pod.files() == {}


def test_sigterm_ends_the_wait_for_a_cure_within_two_seconds(pod: Pod) -> None:
    pod.take_secret()
    running = pod.start()
    pod.error()
    running.signal(signal.SIGTERM)
    assert running.ends(within_s=2.0) == 128 + signal.SIGTERM
    assert pod.last_report()["error"]["reason"] == "CredentialsMissing"


def test_a_fetch_killed_in_the_middle_goes_on_after_the_last_whole_file(
    store: ObjectStore, held: Held, proxy: FaultyProxy, pod: Pod
) -> None:
    store.put("model/config.json", b"{}")
    running = pod.start()
    verified = CacheLayout(pod.cache).staging
    eventually(lambda: list(verified.glob("*/model/config.json")))
    pod.bytes_come()
    running.signal(signal.SIGKILL)
    running.ends()
    assert pod.files() == {}

    held.go_on.set()
    requests: list[str] = []

    def note(answer: Answer, data: bytes) -> bytes:
        requests.append(answer.request)
        return data

    proxy.fault = note
    pod.run()
    assert pod.files() == {"config.json": b"{}", "weights": WEIGHTS}
    assert [request for request in requests if request.startswith("GET /models/model/config.json")] == []
    assert pod.left_in_staging() == []


@pytest.fixture
def small_disk(pod: Pod) -> Iterator[Path]:
    """The cache on a file system of 16 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(pod.cache)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    assert mounted.returncode == 0, f"this test mounts a small tmpfs, which needs root: {mounted.stderr}"
    yield pod.cache
    subprocess.run(["umount", "--lazy", str(pod.cache)], check=True)


def test_a_model_that_is_too_large_for_the_disk_is_refused_with_the_figures(
    store: ObjectStore, small_disk: Path, pod: Pod
) -> None:
    store.put("model/more", WEIGHTS)
    error = pod.failed_attempt()
    assert error.reason == "DiskFull"
    assert f"the model needs {2 * len(WEIGHTS)} more bytes" in error.message
    assert re.search(r"has 16\d{6} bytes free", error.message)
    assert list(CacheLayout(small_disk).staging.glob("*/model/*")) == []


def test_a_disk_that_becomes_full_is_named_and_the_fetch_goes_on_when_there_is_room(
    store: ObjectStore, held: Held, small_disk: Path, pod: Pod
) -> None:
    files = {f"weights-{number}": bytes([number]) * 128 * 1024 for number in range(40)}  # more than are begun at once
    store.admin.delete_object(Bucket=MODELS, Key="model/weights")
    for name, content in files.items():
        store.put(f"model/{name}", content)
    held.after_bytes = 0
    running = pod.start()
    eventually(lambda: list(CacheLayout(small_disk).staging.glob("*/model/*")))
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 14 * MIB)
    held.go_on.set()
    error = pod.error()
    assert error["reason"] == "DiskFull"
    filler.unlink()
    assert running.ends() == 0
    assert pod.files() == files


def test_a_cache_that_cannot_be_written_is_named(pod: Pod) -> None:
    (pod.cache / "entries").touch()
    assert pod.failed_attempt().reason == "CacheNotWritable"
