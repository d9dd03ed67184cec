"""Whether the stand-in engine still behaves as the real one: the same requests to both, compared by what they answer.

Compared are status codes, content types, the shapes of bodies and of streamed events, the messages of errors, and
after all of it the metrics: names, types, labels and bucket bounds. Not compared: words, counts, times and identifiers.
"""

import http.client
import json
import re
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 60
OWN_LABELS = ("engine", "model_name", "implementation", "major", "minor", "patchlevel", "version")
SERIES = re.compile(r"([^{ ]+)(?:\{(.*)\})? \S+")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
HI = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True)
class Request:
    """One request; the body is sent as JSON unless it is text already."""

    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"

    def __str__(self) -> str:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return f"{self.method} {self.path}" + (f" {text[:100]}" if self.body is not None else "")


REQUESTS = (
    *(Request("GET", path) for path in ("/health", "/ping", "/version", "/load", "/v1/models", "/metrics")),
    *(Request("GET", path) for path in ("/ready", "/healthz", "/is_sleeping", "/kv_event_sources", COMPLETION)),
    Request("POST", "/ping"),
    Request("POST", "/health"),
    Request("POST", COMPLETION, {"prompt": "hi", "max_tokens": 4, "ignore_eos": True}),
    Request("POST", COMPLETION, {"prompt": "hi", "max_tokens": 4, "ignore_eos": True, "stream": True}),
    Request(
        "POST",
        COMPLETION,
        {
            "prompt": "hi",
            "max_tokens": 4,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    Request("POST", CHAT, {"messages": HI, "max_tokens": 4, "ignore_eos": True}),
    Request("POST", CHAT, {"messages": HI, "max_completion_tokens": 4, "ignore_eos": True, "stream": True}),
    Request(
        "POST",
        CHAT,
        {
            "messages": HI,
            "max_tokens": 4,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    Request("POST", COMPLETION, {"model": "nope", "prompt": "hi"}),
    Request("POST", CHAT, {"model": "nope", "messages": HI}),
    Request("POST", COMPLETION, {"prompt": "hi", "max_tokens": 9_999_999}),
    Request("POST", CHAT, {"messages": HI, "max_completion_tokens": 9_999_999}),
    Request("POST", COMPLETION, {"max_tokens": 4}),
    Request("POST", CHAT, {"max_tokens": 4}),
    Request("POST", CHAT, {"messages": HI, "stream_options": {"include_usage": True}}),
    Request("POST", COMPLETION, "{"),
    Request("POST", COMPLETION, "{}", "text/plain"),
)
"""About any model; they name none, which selects the one that is served."""


@dataclass(frozen=True)
class Profile:
    """What one server did, in a form that equals another's when both behave alike."""

    answers: dict[str, Any]
    metrics: dict[str, Any]


def profile(base_url: str) -> Profile:
    """Sends a server all requests. Raises OSError when it does not answer."""
    model = json.loads(_send(base_url, Request("GET", "/v1/models"))[2])["data"][0]
    too_long = "a " * (model["max_model_len"] + 100)
    answers = {}
    for request in (*REQUESTS, Request("POST", COMPLETION, {"prompt": too_long, "max_tokens": 4})):
        status, content_type, body = _send(base_url, request)
        answers[str(request)] = (
            status,
            content_type,
            shape(content_type, body.replace(model["id"].encode(), b"MODEL")),
        )
    return Profile(answers, metric_shapes(_send(base_url, Request("GET", "/metrics"))[2].decode()))


def differences(real: Profile, standin: Profile) -> list[str]:
    """One line for each thing that the stand-in does otherwise; empty when it conforms."""
    return [
        f"{kind} {name}: really {theirs.get(name, 'absent')}, stand-in {ours.get(name, 'absent')}"
        for kind, theirs, ours in (
            ("answer", real.answers, standin.answers),
            ("metric", real.metrics, standin.metrics),
        )
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]


def shape(content_type: str | None, body: bytes) -> Any:
    """What a body is made of: its fields in order and their types, and the message of an error."""
    if content_type == "application/json":
        return _shape(json.loads(body))
    if content_type is not None and content_type.startswith("text/event-stream"):
        events = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
        shapes = ["[DONE]" if event == b"[DONE]" else _shape(json.loads(event)) for event in events]
        return [event for event, _ in groupby(shapes)]
    return "text" if body else ""


def metric_shapes(exposition: str) -> dict[str, Any]:
    """Each metric's type, help, and the labels of its samples, where buckets count by their bound."""
    found: dict[str, Any] = {}
    for line in exposition.splitlines():
        if line.startswith("#"):
            _, keyword, name, text = line.split(" ", 3)
            found.setdefault(name, {})[keyword] = text
        elif match := SERIES.fullmatch(line):
            labels = dict(LABEL.findall(match[2] or ""))
            kept = sorted(labels) if match[1] == "vllm:cache_config_info" else _distinguishing(labels)
            found.setdefault(match[1], {}).setdefault("samples", []).append(kept)
    return {name: parts | {"samples": sorted(map(str, parts.get("samples", [])))} for name, parts in found.items()}


def _distinguishing(labels: dict[str, str]) -> list[str]:
    return [name if name in OWN_LABELS else f"{name}={value}" for name, value in labels.items()]


def _shape(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"error"} and isinstance(value["error"], dict):
        return [(name, re.sub(r"\d+", "N", str(text))) for name, text in value["error"].items()]
    if isinstance(value, dict):
        return [(name, _shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape for shape, _ in groupby(_shape(inner) for inner in value)]
    return type(value).__name__


def _send(base_url: str, request: Request) -> tuple[int, str | None, bytes]:
    """Status, content type and body of the answer."""
    url = urlsplit(base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT_S)
    body = request.body if isinstance(request.body, str | None) else json.dumps(request.body)
    try:
        headers = {} if body is None else {"content-type": request.content_type}
        connection.request(request.method, f"{url.path}{request.path}", body, headers)
        response = connection.getresponse()
        return response.status, response.getheader("content-type"), response.read()
    finally:
        connection.close()
