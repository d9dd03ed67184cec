"""Whether the stand-in engine still behaves as the real one: the same requests to both, compared by what they answer.

Compared are status codes, content types, the shapes of bodies and of streamed events, what errors say, and after all of
it the metrics: names, types, labels and bucket bounds. Not compared: words, counts, times and identifiers.
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
class Ask:
    """One request; the body is sent as JSON unless it is text already."""

    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"

    def __str__(self) -> str:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return f"{self.method} {self.path}" + (f" {text[:100]}" if self.body is not None else "")


REQUESTS = (
    *(Ask("GET", path) for path in ("/health", "/ping", "/version", "/load", "/v1/models", "/metrics")),
    *(Ask("GET", path) for path in ("/ready", "/healthz", "/is_sleeping", "/kv_event_sources", COMPLETION)),
    Ask("POST", "/ping"),
    Ask("POST", "/health"),
    Ask("POST", COMPLETION, {"prompt": "hi", "max_tokens": 4, "ignore_eos": True}),
    Ask("POST", COMPLETION, {"prompt": "hi", "max_tokens": 4, "ignore_eos": True, "stream": True}),
    Ask(
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
    Ask("POST", CHAT, {"messages": HI, "max_tokens": 4, "ignore_eos": True}),
    Ask("POST", CHAT, {"messages": HI, "max_completion_tokens": 4, "ignore_eos": True, "stream": True}),
    Ask(
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
    Ask("POST", COMPLETION, {"model": "nope", "prompt": "hi"}),
    Ask("POST", CHAT, {"model": "nope", "messages": HI}),
    Ask("POST", COMPLETION, {"prompt": "hi", "max_tokens": 9_999_999}),
    Ask("POST", CHAT, {"messages": HI, "max_completion_tokens": 9_999_999}),
    Ask("POST", COMPLETION, {"max_tokens": 4}),
    Ask("POST", CHAT, {"max_tokens": 4}),
    Ask("POST", CHAT, {"messages": HI, "stream_options": {"include_usage": True}}),
    Ask("POST", COMPLETION, "{"),
    Ask("POST", COMPLETION, "{}", "text/plain"),
)
"""About any model; they name none, which asks for the one that is served."""


@dataclass(frozen=True)
class Profile:
    """What one server did, in a form that equals another's when both behave alike."""

    answers: dict[str, Any]
    metrics: dict[str, Any]


def profile(base_url: str) -> Profile:
    """Asks a server everything. Raises OSError when it does not answer."""
    model = json.loads(_ask(base_url, Ask("GET", "/v1/models"))[2])["data"][0]
    too_long = "a " * (model["max_model_len"] + 100)
    answers = {}
    for ask in (*REQUESTS, Ask("POST", COMPLETION, {"prompt": too_long, "max_tokens": 4})):
        status, content_type, body = _ask(base_url, ask)
        answers[str(ask)] = (status, content_type, shape(content_type, body.replace(model["id"].encode(), b"MODEL")))
    return Profile(answers, metric_shapes(_ask(base_url, Ask("GET", "/metrics"))[2].decode()))


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
    """What a body is made of: its fields in order and their types, and what an error says."""
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
            kept = sorted(labels) if match[1] == "vllm:cache_config_info" else _telling(labels)
            found.setdefault(match[1], {}).setdefault("samples", []).append(kept)
    return {name: parts | {"samples": sorted(map(str, parts.get("samples", [])))} for name, parts in found.items()}


def _telling(labels: dict[str, str]) -> list[str]:
    return [name if name in OWN_LABELS else f"{name}={value}" for name, value in labels.items()]


def _shape(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"error"} and isinstance(value["error"], dict):
        return [(name, re.sub(r"\d+", "N", str(text))) for name, text in value["error"].items()]
    if isinstance(value, dict):
        return [(name, _shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape for shape, _ in groupby(_shape(inner) for inner in value)]
    return type(value).__name__


def _ask(base_url: str, ask: Ask) -> tuple[int, str | None, bytes]:
    """Status, content type and body of the answer."""
    url = urlsplit(base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT_S)
    body = ask.body if isinstance(ask.body, str | None) else json.dumps(ask.body)
    try:
        headers = {} if body is None else {"content-type": ask.content_type}
        connection.request(ask.method, f"{url.path}{ask.path}", body, headers)
        response = connection.getresponse()
        return response.status, response.getheader("content-type"), response.read()
    finally:
        connection.close()
