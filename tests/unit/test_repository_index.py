"""The index of a repository of models is read without trust, from what the real Triton 2.51 answered."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.integrations.signals import repository_index
from modelyard.integrations.signals.pod_http import PodClient
from modelyard.integrations.signals.repository_index import IndexedModel, parse, read
from tests.support.pod_port import answering
from tests.support.recordings import triton_recording


def recorded(name: str) -> bytes:
    """The body of a recorded answer."""
    return triton_recording(f"endpoints/{name}.txt").read_bytes().partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("answer", "models"),
    [
        ("index-all", {"count": "READY", "double": "READY", "reverse": "READY"}),
        ("index-empty", {}),
        ("index-explicit", {"count": "READY", "double": "READY", "reverse": ""}),
        ("index-unavailable", {"count": "READY", "double": "READY", "reverse": "UNAVAILABLE"}),
        ("index-unloading", {"count": "UNLOADING", "double": "READY", "reverse": ""}),
        ("index-unloaded", {"count": "UNAVAILABLE", "double": "READY", "reverse": ""}),
    ],
)
def test_tritons_answer_is_parsed(answer: str, models: dict[str, str]) -> None:
    index = parse(recorded(answer))
    assert index is not None
    assert {model.name: model.state for model in index} == models


def test_of_a_models_error_the_line_with_the_cause_is_kept() -> None:
    index = parse(recorded("index-unavailable"))
    assert index is not None
    assert index[2] == IndexedModel("reverse", "UNAVAILABLE", "Internal: RuntimeError: weights are missing")


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"{}", b"null", b'"[]"', b"[1]", b'[{"state":"READY"}]', b'[{"name":1}]', b"[" * 9000, b"\xff[]"],
)
def test_what_is_no_index_is_unknown(answer: bytes | None) -> None:
    assert parse(answer) is None


def test_an_api_that_is_restricted_is_unknown() -> None:
    assert parse(recorded("index-restricted")) is None


def test_hostile_texts_are_cleaned_and_cut() -> None:
    hostile = {"name": "x" * 999, "state": "\x1b[31m\0", "reason": "y" * 99_999}
    assert parse(json.dumps([hostile]).encode()) == (IndexedModel("x" * 125 + "...", "[31m", "y" * 297 + "..."),)


@given(st.lists(st.dictionaries(st.text(), st.none() | st.text() | st.lists(st.integers()))) | st.integers())
def test_whatever_json_comes_nothing_breaks(answer: Any) -> None:
    parse(json.dumps(answer).encode())


async def test_a_server_is_queried_by_one_post(pods: PodClient) -> None:
    async with answering(triton_recording("endpoints/index-explicit.txt").read_bytes()) as pod:
        index = await read(pods, f"127.0.0.1:{pod.port}")
    assert index == parse(recorded("index-explicit"))
    assert pod.requests[0].startswith(b"POST /v2/repository/index HTTP/1.1\r\n")


async def test_an_endless_answer_is_unknown_and_not_read_to_its_end(pods: PodClient) -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n[" + b" " * (4 * repository_index.SIZE_LIMIT_BYTES)
    async with answering(endless) as pod:
        assert await read(pods, f"127.0.0.1:{pod.port}") is None


async def test_a_server_that_is_gone_is_unknown(pods: PodClient) -> None:
    async with answering(b"") as pod:
        port = pod.port
    assert await read(pods, f"127.0.0.1:{port}") is None
