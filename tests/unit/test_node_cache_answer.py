"""What a node agent reports of its cache is accepted in one form only."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.contract import cache_page
from modelyard.integrations.signals.node_cache import NodeCache, parse, read
from modelyard.integrations.signals.pod_http import PodClient
from tests.support.pod_port import answering

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def namespace(name: str, *digests: str) -> dict[str, Any]:
    entries = [{"digest": digest, "size_bytes": 9, "pins": 1} for digest in digests]
    return {"name": name, "uid": f"uid-of-{name}", "used_bytes": 9, "over_budget": False, "entries": entries}


ANSWER = {
    "node": "worker",
    "path_missing": False,
    "budget_bytes": 100,
    "used_bytes": 18,
    "free_bytes": 82,
    "namespaces": [namespace("team-a", DIGEST, OTHER), namespace("team-b"), namespace("team-a", DIGEST)],
}
UNDERSTOOD = NodeCache("worker", False, {"team-a": frozenset({DIGEST, OTHER}), "team-b": frozenset()})


def test_an_agents_report_is_parsed() -> None:
    assert parse(json.dumps(ANSWER).encode()) == UNDERSTOOD


@pytest.mark.parametrize(
    "odd",
    [
        {"node": None},
        {"path_missing": 0},
        {"namespaces": None},
        {"namespaces": {}},
        {"namespaces": [None]},
        {"namespaces": [{"name": "team-a"}]},
        {"namespaces": [{"name": 7, "entries": []}]},
        {"namespaces": [namespace("team-a", DIGEST, "sha256:..")]},
        {"namespaces": [{"name": "team-a", "entries": [[]]}]},
    ],
    ids=str,
)
def test_an_answer_with_a_malformed_part_is_dropped(odd: dict[str, Any]) -> None:
    assert parse(json.dumps(ANSWER | odd).encode()) is None


@pytest.mark.parametrize("text", [None, b"", b"nonsense", b"[]", b"null", b"\xff", b"[" * 9000, b"9" * 5000])
def test_an_answer_that_is_no_report_is_dropped(text: bytes | None) -> None:
    assert parse(text) is None


def test_a_field_that_is_missing_makes_the_answer_none() -> None:
    for field in ("node", "path_missing", "namespaces"):
        answer = copy.deepcopy(ANSWER)
        del answer[field]
        assert parse(json.dumps(answer).encode()) is None


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_no_answer_raises(value: object) -> None:
    parse(json.dumps(value).encode())
    parse(json.dumps(ANSWER | {"namespaces": value}).encode())


async def test_an_agent_is_queried_on_its_port(pods: PodClient) -> None:
    async with answering(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(ANSWER).encode()) as agent:
        assert await read(pods, "127.0.0.1", agent.port) == UNDERSTOOD
        assert agent.requests[0].startswith(b"GET /cache HTTP/1.1\r\n")


async def test_an_answer_that_is_longer_than_any_agents_is_dropped(
    pods: PodClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(ANSWER).encode()
    for limit_bytes, understood in ((len(answer), UNDERSTOOD), (len(answer) - 1, None)):
        monkeypatch.setattr(cache_page, "SIZE_LIMIT_BYTES", limit_bytes)
        async with answering(answer) as agent:
            assert await read(pods, "127.0.0.1", agent.port) == understood
