"""What the fetcher reports about itself, and that no client can make it report too much or keep it from reporting."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from modelyard.contract.fetch_report import SIZE_LIMIT_BYTES, FetchFailure, Phase, Reason
from modelyard.fetcher.report.delivery import serve
from modelyard.fetcher.report.state import ProgressLines, State, as_line
from tests.support.ports import free_port

DIGEST = f"sha256:{'ab' * 32}"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


OTHER_POD = "0a-1b"


class Stopwatch:
    """A clock that stands until a test moves it."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def state(stopwatch: Stopwatch) -> State:
    return State("s3://models/a", "2026-11", lambda: NOW, stopwatch, "NodeLocal")


def test_a_running_fetch_reports_its_progress_and_rate(state: State, stopwatch: Stopwatch) -> None:
    state.enter(Phase.LISTING)
    state.found(DIGEST, 1000, unverified_files=0)
    state.begin(100)
    for second in range(3):
        stopwatch.now_s = 100.0 + second
        state.sample_rate(stopwatch.now_s)
        state.add_bytes(200)
    assert json.loads(state.report().as_json()) == {
        "phase": "Downloading",
        "since": "2026-11-21T12:00:00+00:00",
        "uri": "s3://models/a",
        "revision": "2026-11",
        "digest": DIGEST,
        "mounted": False,
        "bytesDone": 700,
        "bytesTotal": 1000,
        "bytesPerSecond": 200,
        "medium": "NodeLocal",
        "cacheHit": False,
        "fetchedBytes": 600,
        "seconds": 2.0,
        "waitingForPod": None,
        "unverifiedFiles": 0,
        "error": None,
    }


def test_a_mounted_model_is_done_at_once_and_has_no_digest(state: State) -> None:
    state.found_mounted(1000)
    state.enter(Phase.DONE)
    report = json.loads(state.report().as_json())
    assert (report["mounted"], report["digest"], report["bytesDone"], report["bytesTotal"]) == (True, None, 1000, 1000)


def test_an_error_stays_reported_until_the_next_attempt_gets_further(state: State) -> None:
    state.enter(Phase.LISTING)
    state.fail(Phase.RETRYING, Reason.ACCESS_DENIED, "no")
    state.enter(Phase.LISTING)
    assert state.report().error == FetchFailure(Reason.ACCESS_DENIED, "no")
    state.begin(0)
    assert state.report().error is None


def test_an_error_stays_until_an_attempt_has_more_bytes_than_the_failed_one_had(state: State) -> None:
    for _ in range(3):
        state.enter(Phase.LISTING)
        state.found(DIGEST, 1000, unverified_files=0)
        state.begin(100)
        state.add_bytes(300)
        state.add_bytes(-300)
        state.fail(Phase.RETRYING, Reason.ENDPOINT_UNREACHABLE, "the connection ended")
    state.enter(Phase.LISTING)
    state.found(DIGEST, 1000, unverified_files=0)
    state.begin(100)
    state.add_bytes(300)
    assert state.report().error == FetchFailure(Reason.ENDPOINT_UNREACHABLE, "the connection ended")
    state.add_bytes(1)
    assert state.report().error is None


def test_an_error_of_a_disk_that_is_full_stays_while_attempts_find_it_full(state: State) -> None:
    seen = set()
    for _ in range(3):
        state.enter(Phase.LISTING)
        seen.add(state.report().error)
        state.found(DIGEST, 1000, unverified_files=0)
        state.begin(0)
        seen.add(state.report().error)
        state.fail(Phase.RETRYING, Reason.DISK_FULL, "full")
    assert seen == {None, FetchFailure(Reason.DISK_FULL, "full")}
    state.enter(Phase.LISTING)
    state.begin(0)
    state.enter(Phase.PUBLISHING)
    assert state.report().error is None


def test_an_error_ends_when_another_pod_brings_more(state: State) -> None:
    state.enter(Phase.LISTING)
    state.begin(0)
    state.add_bytes(100)
    state.fail(Phase.RETRYING, Reason.ENDPOINT_UNREACHABLE, "the connection ended")
    state.enter(Phase.LISTING)
    state.wait("other", 50, 10)
    assert state.report().error is not None
    state.wait("other", 150, 10)
    assert state.report().error is None


def test_bytes_that_must_come_again_are_not_done(state: State) -> None:
    state.found(DIGEST, 1000, unverified_files=0)
    state.add_bytes(700)
    state.add_bytes(-700)
    assert (state.report().bytes_done, state.report().fetched_bytes) == (0, 700)


@pytest.mark.parametrize(("bytes_a_second", "least_lines"), [(0, 6), (1, 6), (200, 60)])
def test_a_download_is_logged_with_its_rate_at_least_every_ten_seconds(
    state: State, bytes_a_second: int, least_lines: int
) -> None:
    lines = ProgressLines()
    state.enter(Phase.LISTING)
    assert lines.due(state.report(), 100.0) is None
    state.found(DIGEST, 1_000_000, unverified_files=0)
    state.begin(0)
    logged_s = [100.0]
    for now_s in map(float, range(101, 162)):
        state.add_bytes(bytes_a_second)
        state.sample_rate(now_s)
        if line := lines.due(state.report(), now_s):
            logged_s.append(now_s)
            assert line == as_line(state.report())
            assert f" {bytes_a_second if now_s > 101 else 0} bytes/s" in line
    assert max(later - earlier for earlier, later in pairwise(logged_s)) <= 10
    assert len(logged_s) > least_lines


def test_a_pod_that_waits_reports_the_progress_of_the_one_that_fetches(state: State) -> None:
    state.found(DIGEST, 1000, unverified_files=0)
    state.wait(None, 0, 0)
    assert as_line(state.report()) == "Waiting: 0 of 1000 bytes, 0 bytes/s"
    state.wait(OTHER_POD, 400, 60)
    now = state.report()
    assert (now.phase, now.waiting_for_pod, now.bytes_done, now.bytes_per_second) == ("Waiting", OTHER_POD, 400, 60)
    assert as_line(now) == "Waiting: 400 of 1000 bytes, 60 bytes/s, 10 s left; pod 0a-1b on this node is fetching"


def test_what_another_pod_brought_is_a_hit_without_bytes_that_names_that_pod(state: State) -> None:
    state.found(DIGEST, 1000, unverified_files=0)
    state.wait(OTHER_POD, 400, 60)
    state.hit()
    state.enter(Phase.DONE)
    now = state.report()
    assert (now.cache_hit, now.fetched_bytes, now.waiting_for_pod, now.bytes_done) == (True, 0, OTHER_POD, 1000)


def test_a_pod_that_resumes_what_another_left_waits_for_no_pod(state: State) -> None:
    state.found(DIGEST, 1000, unverified_files=0)
    state.wait(OTHER_POD, 400, 60)
    state.begin(300)
    state.add_bytes(700)
    now = state.report()
    assert (now.cache_hit, now.fetched_bytes, now.waiting_for_pod, now.bytes_done) == (False, 700, None, 1000)


def test_the_seconds_are_those_of_one_attempt_and_stand_still_between_two(state: State, stopwatch: Stopwatch) -> None:
    state.enter(Phase.LISTING)
    stopwatch.now_s += 3
    state.fail(Phase.RETRYING, Reason.THROTTLED, "no")
    stopwatch.now_s += 30
    assert state.report().seconds == 3
    state.enter(Phase.LISTING)
    stopwatch.now_s += 2
    assert state.report().seconds == 2
    state.enter(Phase.DONE)
    stopwatch.now_s += 30
    assert state.report().seconds == 2


@pytest.mark.parametrize("letter", ["x", "ü", "\N{GRINNING FACE}", '"', "\\"])
def test_the_json_fits_a_termination_message_whatever_the_texts(letter: str) -> None:
    state = State(f"s3://{letter * 9000}", letter * 9000, lambda: NOW)
    state.found(DIGEST, 10**15, unverified_files=10_000)
    state.fail(Phase.RETRYING, Reason.INVALID_CONFIGURATION, letter * 9000)
    text = state.report().as_json()
    assert len(text.encode()) <= SIZE_LIMIT_BYTES
    assert json.loads(text)["error"]["reason"] == "InvalidConfiguration"


@pytest.fixture
def port(state: State) -> Iterator[int]:
    port = free_port()
    server = serve(state, port)
    yield port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", *(["[::1]"] if socket.has_dualstack_ipv6() else [])])
def test_the_port_answers_the_report_on_every_address(state: State, port: int, host: str) -> None:
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.read().decode() == state.report().as_json()


def test_the_port_has_nothing_else(port: int) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/cache", timeout=10)
    refusal.value.close()


def test_a_client_that_never_ends_its_request_does_not_keep_others_from_theirs(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert answer.status == 200


def test_a_read_over_the_network_is_noted(state: State, stopwatch: Stopwatch) -> None:
    port = free_port()
    server = serve(state, port)
    try:
        stopwatch.now_s = 130.0
        assert state.last_read_s() is None
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            answer.read()
        assert state.last_read_s() == 130.0
    finally:
        server.shutdown()
        server.server_close()
