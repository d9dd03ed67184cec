"""The index of a model server's repository, for the models that its readiness does not cover.

The request is one of KServe's V2 protocol, in its extension for model repositories, as Triton has it
(docs/protocol/extension_model_repository.md in https://github.com/triton-inference-server/server). Nothing of the
answer is trusted, as with fetch_state.
"""

import json
from dataclasses import dataclass
from typing import Any

from modelyard.contract.untrusted import bounded
from modelyard.integrations.signals.pod_http import PodClient

PATH = "/v2/repository/index"
READY = "READY"

SIZE_LIMIT_BYTES = 256 * 1024
"""Longest answer that is read, headers included: 2,000 models, or 400 that each report a long error of loading."""

_NAME_LENGTH = 128
_STATE_LENGTH = 32
_REASON_LENGTH = 300


@dataclass(frozen=True)
class IndexedModel:
    """One version of a model. ``state`` is empty if it was never loaded; ``reason`` is why it is not ready."""

    name: str
    state: str
    reason: str = ""


Index = tuple[IndexedModel, ...]


def parse(text: bytes | None) -> Index | None:
    """The index in ``text``; None when it is none, or has an entry without a name."""
    try:
        entries = json.loads(text or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, list) or not all(isinstance(_at(entry, "name"), str) for entry in entries):
        return None
    return tuple(map(_model, entries))


async def read(pods: PodClient, address: str) -> Index | None:
    """The current index of the server at ``address`` (ip:port); None without a valid response in time."""
    pod_ip, _, port = address.rpartition(":")
    return parse(await pods.ask(pod_ip, int(port), PATH, method="POST", size_limit_bytes=SIZE_LIMIT_BYTES))


def _at(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, dict) else None


def _model(entry: Any) -> IndexedModel:
    return IndexedModel(
        name=_text(_at(entry, "name"), _NAME_LENGTH),
        state=_text(_at(entry, "state"), _STATE_LENGTH),
        reason=_text(_at(entry, "reason"), _REASON_LENGTH),
    )


def _text(value: Any, length: int) -> str:
    """On one line, cut. Of a Python error's several lines the first is the error, the others its place."""
    return bounded(value.partition("\n")[0], length) if isinstance(value, str) else ""
