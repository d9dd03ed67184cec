"""Large files, which come in parts over many connections: what is refused, lost or killed on the way."""

import random
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from modelyard.fetcher.disk.staging import PART_LIMIT_BYTES
from modelyard.fetcher.download.connection_count import FIRST
from tests.fetcher.conftest import Pod
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Answer, FaultyProxy
from tests.support.object_store import ObjectStore

MIB = 1024 * 1024
WEIGHTS = random.Random(5).randbytes(150 * MIB)


@pytest.fixture(autouse=True)
def model(store: ObjectStore) -> None:
    store.put("model/weights", WEIGHTS)


def is_weights(answer: Answer) -> bool:
    return answer.request.startswith("GET ") and "model/weights" in answer.request


class Metered:
    """A fault that counts the bytes of the weights, and holds them from ``limit_bytes`` on until ``go_on`` is set."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.go_on = threading.Event()
        self.passed_bytes = 0
        self._lock = threading.Lock()

    def __call__(self, answer: Answer, data: bytes) -> bytes:
        if is_weights(answer):
            with self._lock:
                self.passed_bytes += len(data)
            if self.passed_bytes > self.limit_bytes:
                self.go_on.wait()
        return data


@pytest.fixture
def metered(proxy: FaultyProxy) -> Iterator[Metered]:
    proxy.fault = metered = Metered(len(WEIGHTS) // 2)
    yield metered
    metered.go_on.set()


def test_a_fetch_that_is_killed_fetches_at_most_a_part_for_each_connection_again(metered: Metered, pod: Pod) -> None:
    running = pod.start()
    eventually(lambda: metered.passed_bytes > metered.limit_bytes)
    running.signal(signal.SIGKILL)
    running.ends()
    metered.go_on.set()
    pod.run()
    assert pod.files() == {"weights": WEIGHTS}
    assert metered.passed_bytes - len(WEIGHTS) <= FIRST * PART_LIMIT_BYTES


def test_what_an_earlier_fetch_brought_counts_as_done(metered: Metered, pod: Pod) -> None:
    running = pod.start()
    eventually(lambda: metered.passed_bytes > metered.limit_bytes)
    eventually(lambda: pod.state()["bytesDone"] > PART_LIMIT_BYTES)
    running.signal(signal.SIGKILL)
    running.ends()
    metered.go_on.set()
    assert pod.attempt().bytes_done == len(WEIGHTS)


def refusal(status: bytes, code: bytes) -> bytes:
    body = b"<Error><Code>%s</Code><Message>as this test needs it</Message></Error>" % code
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)


class Refusing:
    """A fault: the answers to some GETs of the weights are this one."""

    def __init__(self, response: bytes, which: frozenset[int]) -> None:
        self._response = response
        self._which = which
        self._lock = threading.Lock()
        self._numbers: dict[int, int] = {}

    def __call__(self, answer: Answer, data: bytes) -> bytes:
        if not is_weights(answer):
            return data
        with self._lock:
            if answer.passed_bytes == 0:
                self._numbers[id(answer)] = len(self._numbers)
            if self._numbers.get(id(answer), -1) not in self._which:
                return data
        if answer.passed_bytes == 0:
            return self._response
        raise ConnectionAbortedError


def test_a_store_that_throttles_some_requests_still_gives_the_file(proxy: FaultyProxy, pod: Pod) -> None:
    proxy.fault = Refusing(refusal(b"503 Slow Down", b"SlowDown"), frozenset({0, 2, 3, 7}))
    pod.attempt()
    assert pod.files() == {"weights": WEIGHTS}


def test_a_store_that_fails_now_and_then_still_gives_the_file(proxy: FaultyProxy, pod: Pod) -> None:
    proxy.fault = Refusing(refusal(b"500 Internal Server Error", b"InternalError"), frozenset({1, 2}))
    pod.attempt()
    assert pod.files() == {"weights": WEIGHTS}


def test_a_store_that_throttles_every_request_is_named(proxy: FaultyProxy, pod: Pod) -> None:
    proxy.fault = Refusing(refusal(b"503 Slow Down", b"SlowDown"), frozenset(range(100)))
    assert pod.failed_attempt().reason == "Throttled"


def test_a_token_that_expires_in_mid_fetch_is_named_and_the_next_attempt_goes_on(
    proxy: FaultyProxy, metered: Metered, pod: Pod
) -> None:
    has_expired = threading.Event()

    def expire(answer: Answer, data: bytes) -> bytes:
        if has_expired.is_set() and answer.passed_bytes == 0 and answer.request.startswith("GET "):
            return refusal(b"400 Bad Request", b"ExpiredToken")
        return metered(answer, data)

    proxy.fault = expire
    running = pod.start()
    eventually(lambda: metered.passed_bytes > metered.limit_bytes)
    has_expired.set()
    metered.go_on.set()
    error = pod.error()
    assert error["reason"] == "CredentialsInvalid"
    assert "Put a new one in the Secret" in error["message"]
    has_expired.clear()
    assert running.ends() == 0, running.output
    assert pod.files() == {"weights": WEIGHTS}
    assert metered.passed_bytes - len(WEIGHTS) <= FIRST * PART_LIMIT_BYTES


def test_a_wrong_clock_is_reported(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (datetime.now(UTC) - timedelta(hours=3)).replace(tzinfo=None)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: wrong)
    error = pod.failed_attempt()
    assert error.reason == "ClockSkew"
    assert "synchronize the node's clock" in error.message


def test_an_upload_in_small_unequal_parts_comes_whole(store: ObjectStore, pod: Pod) -> None:
    parts = [WEIGHTS[: 5 * MIB + 1], WEIGHTS[: 7 * MIB + 4095], WEIGHTS[: 33 * MIB + 17], WEIGHTS[:5]]
    for algorithm in ("SHA256", "CRC32", None):
        store.put_in_parts("model/weights", parts, algorithm)
        pod.attempt()
        assert pod.files() == {"weights": b"".join(parts)}
