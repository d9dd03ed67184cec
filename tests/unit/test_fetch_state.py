"""The fetcher's state is read without trust: a lying endpoint can neither hang nor flood the operator."""

import asyncio
import json
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.contract.fetch_report import FetchFailure, FetchReport, Phase, Reason, parse
from modelyard.fetcher.report.delivery import serve
from modelyard.fetcher.report.state import State
from modelyard.integrations.signals.fetch_state import ANSWER_LIMIT_BYTES, read
from modelyard.integrations.signals.pod_http import PodClient
from tests.support.pod_port import answering
from tests.support.ports import free_port

REPORT = {
    "phase": "Downloading",
    "since": "2026-11-22T12:00:00+00:00",
    "uri": "s3://models/smollm",
    "digest": "sha256:" + "0" * 64,
    "mounted": False,
    "bytesDone": 10,
    "bytesTotal": 100,
    "bytesPerSecond": 5,
    "cacheHit": False,
    "unverifiedFiles": 0,
    "medium": "NodeLocal",
    "fetchedBytes": 10,
    "seconds": 1.5,
    "waitingForPod": "0b7e-4a",
    "error": None,
}
UNDERSTOOD = FetchReport(
    phase=Phase.DOWNLOADING,
    since=datetime(2026, 11, 22, 12, tzinfo=UTC),
    uri="s3://models/smollm",
    medium="NodeLocal",
    digest="sha256:" + "0" * 64,
    mounted=False,
    bytes_done=10,
    bytes_total=100,
    bytes_per_second=5,
    cache_hit=False,
    fetched_bytes=10,
    seconds=1.5,
    waiting_for_pod="0b7e-4a",
    unverified_files=0,
)


def test_the_fetchers_report_is_parsed() -> None:
    assert parse(json.dumps(REPORT)) == UNDERSTOOD


def test_what_a_fetcher_writes_is_read_as_it_was_meant() -> None:
    whole = replace(
        UNDERSTOOD,
        revision="2026-11",
        unverified_files=3,
        error=FetchFailure(Reason.ACCESS_DENIED, "Grant s3:GetObject."),
    )
    assert all(value is not None for value in vars(whole).values())
    assert parse(whole.as_json()) == whole
    assert parse(FetchReport().as_json()) == FetchReport()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_a_fetcher_reaches_its_reader(reason: Reason) -> None:
    assert parse(FetchReport(error=FetchFailure(reason, "words")).as_json()) == FetchReport(
        error=FetchFailure(reason, "words")
    )


def test_a_reason_and_a_phase_that_no_fetcher_has_are_unknown() -> None:
    report = {"phase": "Melting", "error": {"reason": "Ready", "message": "words"}}
    assert parse(json.dumps(report)) == FetchReport(error=FetchFailure(None, "words"))


def test_an_error_is_parsed_and_its_text_cleaned_and_cut() -> None:
    report = {"error": {"reason": "AccessDenied", "message": "no\x1b[31m\n" + "x" * 3000}}
    state = parse(json.dumps(report))
    assert state
    assert state.error
    assert state.error.reason == "AccessDenied"
    assert state.error.message.startswith("no [31m xxx")
    assert len(state.error.message) == 1024


@pytest.mark.parametrize(
    "text",
    [None, "", "garbage", "[]", "null", '"text"', "[" * 8000, b"\xff\xfe\x00", '{"a": ' + "9" * 5000 + "}", " " * 9000],
)
def test_what_is_no_bounded_json_object_is_unknown(text: str | bytes | None) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("value", [-1, 1.5, True, "10", 2**60, None, [], {}])
def test_an_odd_size_is_unknown_and_never_zero(value: object) -> None:
    report = dict.fromkeys(("bytesDone", "bytesTotal", "bytesPerSecond", "fetchedBytes"), value)
    assert parse(json.dumps(report)) == FetchReport()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 10**9, True, "10", None, []])
def test_an_odd_time_is_unknown_and_never_zero(value: object) -> None:
    assert parse(json.dumps({"seconds": value})) == FetchReport()


@pytest.mark.parametrize(
    "report",
    [
        {"phase": 7},
        {"digest": "sha256:XYZ"},
        {"cacheHit": 1},
        {"mounted": "yes"},
        {"error": "text"},
        {"error": []},
        {"phase": "\x00\x07"},
        {"medium": ["NodeLocal"]},
        {"waitingForPod": "../../etc"},
    ],
)
def test_a_field_of_another_type_or_form_is_unknown(report: object) -> None:
    assert parse(json.dumps(report)) == FetchReport()


def test_an_error_without_words_is_still_an_error() -> None:
    assert parse('{"error": {}}') == FetchReport(error=FetchFailure(None, "the fetcher gave no message"))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_no_answer_raises(value: object) -> None:
    parse(json.dumps(dict.fromkeys((*REPORT, "error"), value)))
    parse(json.dumps({"error": {"reason": value, "message": value}}))


async def test_a_fetcher_is_read_from_its_port(pods: PodClient) -> None:
    body = json.dumps(REPORT).encode()
    head = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with answering(head + body) as pod:
        assert await read(pods, "127.0.0.1", pod.port) == UNDERSTOOD


async def test_no_more_is_read_than_a_fetcher_would_send(pods: PodClient) -> None:
    async with answering(b"HTTP/1.0 200 OK\r\n\r\n" + b" " * ANSWER_LIMIT_BYTES + b"{}") as pod:
        assert await read(pods, "127.0.0.1", pod.port) is None


@pytest.mark.parametrize("pod_ip", ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])])
async def test_the_operator_reads_a_real_fetcher_over_each_address_family(pods: PodClient, pod_ip: str) -> None:
    state = State("s3://models/a", None, lambda: datetime(2026, 11, 30, tzinfo=UTC), lambda: 0.0)
    port = free_port()
    server = serve(state, port)
    try:
        assert await read(pods, pod_ip, port) == state.report()
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
