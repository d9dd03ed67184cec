"""What the fetcher tells about itself, and that nobody can make it tell too much or keep it from telling."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from modelyard.fetcher.state import SIZE_LIMIT_BYTES, Phase, State
from modelyard.fetcher.state_server import serve
from tests.support.ports import free_port

DIGEST = f"sha256:{'ab' * 32}"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def state() -> State:
    return State("s3://models/a", "2026-11", lambda: NOW)


def test_a_fetch_under_way_tells_its_progress_and_rate(state: State) -> None:
    state.enter(Phase.LISTING)
    state.found(DIGEST, 1000, cache_hit=False, unverified_files=0)
    state.enter(Phase.DOWNLOADING)
    for second in range(3):
        state.sample_rate(100.0 + second)
        state.add_bytes(200)
    assert json.loads(state.snapshot().as_json()) == {
        "phase": "Downloading",
        "since": "2026-11-21T12:00:00+00:00",
        "uri": "s3://models/a",
        "revision": "2026-11",
        "digest": DIGEST,
        "mounted": False,
        "bytesDone": 600,
        "bytesTotal": 1000,
        "bytesPerSecond": 200,
        "cacheHit": False,
        "unverifiedFiles": 0,
        "error": None,
    }


def test_a_mounted_model_is_done_at_once_and_has_no_digest(state: State) -> None:
    state.found_mounted(1000)
    state.enter(Phase.DONE)
    told = json.loads(state.snapshot().as_json())
    assert (told["mounted"], told["digest"], told["bytesDone"], told["bytesTotal"]) == (True, None, 1000, 1000)


def test_an_error_stays_told_until_the_next_attempt_gets_further(state: State) -> None:
    state.fail(Phase.RETRYING, "AccessDenied", "no")
    state.enter(Phase.LISTING)
    assert state.snapshot().error == ("AccessDenied", "no")
    state.enter(Phase.DOWNLOADING)
    assert state.snapshot().error is None


def test_bytes_that_must_come_again_are_not_done(state: State) -> None:
    state.found(DIGEST, 1000, cache_hit=False, unverified_files=0)
    state.add_bytes(700)
    state.add_bytes(-700)
    assert state.snapshot().bytes_done == 0


@pytest.mark.parametrize("letter", ["x", "ü", "\N{GRINNING FACE}", '"', "\\"])
def test_the_json_fits_a_termination_message_whatever_the_texts(letter: str) -> None:
    state = State(f"s3://{letter * 9000}", letter * 9000, lambda: NOW)
    state.found(DIGEST, 10**15, cache_hit=False, unverified_files=10_000)
    state.fail(Phase.RETRYING, "InvalidConfiguration", letter * 9000)
    text = state.snapshot().as_json()
    assert len(text.encode()) <= SIZE_LIMIT_BYTES
    assert json.loads(text)["error"]["reason"] == "InvalidConfiguration"


@pytest.fixture
def port(state: State) -> Iterator[int]:
    port = free_port()
    server = serve(state, port)
    yield port
    server.shutdown()
    server.server_close()


def test_the_port_answers_the_state_as_json(state: State, port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.read().decode() == state.snapshot().as_json()


def test_the_port_has_nothing_else(port: int) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/cache", timeout=10)
    refusal.value.close()


def test_a_client_that_never_ends_its_request_does_not_keep_others_from_theirs(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nX: ")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert answer.status == 200
