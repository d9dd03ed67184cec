"""The stand-in's answers are the recorded ones: status, headers and their order, and bodies field by field."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.images.standin.tiny_model import write_tiny_model
from tests.support.recordings import vllm_recording
from tests.support.standin import Answer, Standin, events

CHANGING = ("id", "created", "root", "system_fingerprint")
"""Fields whose value is one answer's or one machine's own."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def standin(model: Path) -> Iterator[Standin]:
    with Standin(model) as running:
        yield running.is_ready()


@pytest.mark.parametrize(
    ("recording", "path"),
    [
        ("health", "/health"),
        ("ping", "/ping"),
        ("version", "/version"),
        ("load", "/load"),
        ("v1_models", "/v1/models"),
        ("kv_event_sources", "/kv_event_sources"),
        ("ready", "/ready"),
        ("healthz", "/healthz"),
        ("is_sleeping", "/is_sleeping"),
        ("server_info", "/server_info"),
        ("tokenizer_info", "/tokenizer_info"),
    ],
)
def test_a_get_is_answered_as_recorded(standin: Standin, recording: str, path: str) -> None:
    assert_same(standin.request("GET", path), recorded_answer(recording))


@pytest.mark.parametrize(
    ("recording", "fields"),
    [
        ("completion-404", {"model": "nope", "prompt": "import os"}),
        ("completion-too-long", {"model": "tiny", "prompt": "import os", "max_tokens": 99999}),
    ],
)
def test_a_refused_completion_gets_the_recorded_answer(
    standin: Standin, recording: str, fields: dict[str, Any]
) -> None:
    assert_same(standin.request("POST", "/v1/completions", fields), recorded_answer(recording))


def test_the_head_of_the_metrics_is_the_recorded_one(standin: Standin) -> None:
    recorded = recorded_answer("metrics-idle-cold", suffix=".headers")
    answer = standin.request("GET", "/metrics")
    assert (answer.status, head(answer)) == (recorded.status, head(recorded))


def test_a_completion_has_the_recorded_fields(standin: Standin) -> None:
    recorded = json.loads(vllm_recording("endpoints/completion.json").read_text())
    answer = standin.request("POST", "/v1/completions", {"model": "tiny", "prompt": "import os", "max_tokens": 16}).json
    recorded["choices"][0]["text"] = answer["choices"][0]["text"]
    assert steady(answer) == steady(recorded)


def test_a_streamed_chat_has_the_recorded_events(standin: Standin) -> None:
    recorded = events(vllm_recording("endpoints/chat-stream.txt").read_bytes())
    fields = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 16, "stream": True}
    answer = standin.request("POST", "/v1/chat/completions", fields | {"stream_options": {"include_usage": True}})
    found = events(answer.body)
    assert answer.status == 200
    assert dict(answer.headers)["content-type"] == "text/event-stream; charset=utf-8"
    assert [steady(without_text(event)) for event in found] == [steady(without_text(event)) for event in recorded]


def test_a_streamed_completion_ends_with_its_reason_and_done(standin: Standin) -> None:
    fields = {"prompt": "hi", "max_tokens": 3, "stream": True}
    *pieces, last, done = events(standin.request("POST", "/v1/completions", fields).body)
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None, None]
    assert last["choices"][0]["finish_reason"] == "length"
    assert "system_fingerprint" in last
    assert done == "[DONE]"


def test_a_chat_is_answered_whole(standin: Standin) -> None:
    fields = {"messages": [{"role": "user", "content": "hi"}]}
    answer = standin.request("POST", "/v1/chat/completions", fields).json
    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["prompt_tokens"] == 4


@pytest.mark.parametrize(
    ("body", "headers", "message", "param"),
    [
        (b"{", {}, "1 validation error:\n  {'type': 'json_invalid', 'loc': 'body.1'", "body.1"),
        ({"model": "tiny"}, {}, "1 validation error:\n  {'type': 'missing', 'loc': 'body.messages'", "body.messages"),
        (b"{}", {"content-type": "text/plain"}, "1 validation error:\n  Unsupported Media Type", None),
        (
            {"messages": [], "stream_options": {"include_usage": True}},
            {},
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
            "stream_options",
        ),
        (
            {"messages": [{"role": "user", "content": "word " * 3000}]},
            {},
            "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 ",
            "input_tokens",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_400(
    standin: Standin, body: Any, headers: dict[str, str], message: str, param: str | None
) -> None:
    answer = standin.request("POST", "/v1/chat/completions", body, headers)
    assert answer.status == 400
    assert answer.json["error"]["message"].startswith(message)
    assert answer.json["error"]["param"] == param


def test_a_wrong_method_is_refused_with_405(standin: Standin) -> None:
    answer = standin.request("GET", "/v1/completions")
    assert (answer.status, answer.json) == (405, {"detail": "Method Not Allowed"})


def test_an_idle_connection_serves_several_requests(standin: Standin) -> None:
    connection = standin.connect()
    for _ in range(3):
        standin.send(connection, "GET", "/version")
        assert json.loads(connection.getresponse().read()) == {"version": "0.32.0"}
    connection.close()


def test_only_the_openai_api_requires_the_key(model: Path) -> None:
    with Standin(model, "--api-key", "sekret") as standin:
        standin.is_ready()
        assert standin.request("GET", "/metrics").status == 200
        refused = standin.request("GET", "/v1/models")
        assert (refused.status, refused.json) == (401, {"error": "Unauthorized"})
        assert standin.request("GET", "/v1/models", headers={"authorization": "Bearer sekret"}).status == 200


def test_without_statistics_there_are_no_metrics_of_the_engine(model: Path) -> None:
    with Standin(model, "--disable-log-stats") as standin:
        standin.is_ready().request("POST", "/v1/completions", {"prompt": "hi"})
        text = standin.request("GET", "/metrics").body.decode()
    assert "vllm:" not in text
    assert 'http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 1.0' in text


def test_several_api_servers_have_no_gauges_before_the_first_request(model: Path) -> None:
    with Standin(model, "--api-server-count", "2") as standin:
        assert standin.is_ready().gauge("vllm:num_requests_running") is None
        standin.request("POST", "/v1/completions", {"prompt": "hi"})
        assert standin.gauge("vllm:num_requests_running") == 0.0


def recorded_answer(name: str, suffix: str = ".txt") -> Answer:
    """An answer as `curl -i` wrote it."""
    top, _, body = vllm_recording(f"endpoints/{name}{suffix}").read_text().partition("\n\n")
    status, *lines = top.splitlines()
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return Answer(int(status.split(" ")[1]), headers, body.encode())


def assert_same(answer: Answer, recorded: Answer) -> None:
    assert (answer.status, head(answer)) == (recorded.status, head(recorded))
    if dict(recorded.headers).get("content-type") == "application/json":
        assert steady(answer.json) == steady(recorded.json)
    else:
        assert answer.body == recorded.body


def head(answer: Answer) -> list[tuple[str, str]]:
    """The headers in order, without the value of the date and of a body's length where bodies differ by a path."""
    return [(name, "" if name in ("date", "content-length") else value) for name, value in answer.headers]


def steady(body: Any) -> Any:
    """A body as text, so that the order of its fields counts, without what changes from answer to answer."""
    text = json.dumps(body)
    for name in CHANGING:
        text = re.sub(rf'"{name}": (?:"(?!tiny")[^"]*"|\d+)', f'"{name}": "*"', text)
    return text


def without_text(event: Any) -> Any:
    """An event with every piece of content replaced, since words are the model's."""
    if isinstance(event, dict):
        for choice in event["choices"]:
            if "role" not in choice["delta"]:
                choice["delta"]["content"] = "*"
    return event
