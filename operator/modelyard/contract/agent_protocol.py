"""The protocol between a fetcher and the agent of its node: requests and answers.

It runs over a unix socket in the namespace's part of the cache (cache_layout.CacheLayout.agent_socket); the socket
identifies the namespace. One JSON object per line each way:

    {"ask": "space", "digest": "sha256:..", "bytes": N}
        -> {"granted": true} or {"granted": false, "reason": "CacheFull", "message": ".."}
    {"ask": "discard", "digest": "sha256:.."}
        -> {"discarded": true} or {"discarded": false, "message": ".."}
    any other request -> {"error": ".."}

A grant lasts as long as its connection, so it is released however the fetcher ends. A restarted agent has lost its
grants: the fetcher requests the space again while the download continues.
"""

import json
from dataclasses import dataclass
from typing import Any

from modelyard.contract.digests import DIGEST
from modelyard.contract.fetch_report import Reason

LINE_LIMIT_BYTES = 4096

_LARGEST_SIZE_BYTES = 2**62
_MESSAGE_LIMIT = 1000
_NO_MESSAGE = "it gave no message: check its log"
_NO_ROOM = (Reason.CACHE_FULL, Reason.BUDGET_TOO_SMALL, Reason.OVER_BUDGET)


@dataclass(frozen=True)
class SpaceRequest:
    """Space for a whole model, including what is staged of it."""

    digest: str
    size_bytes: int

    def as_line(self) -> bytes:
        return _line({"ask": "space", "digest": self.digest, "bytes": self.size_bytes})


@dataclass(frozen=True)
class DiscardRequest:
    """Requests the removal of a broken entry that the pod's user may not move."""

    digest: str

    def as_line(self) -> bytes:
        return _line({"ask": "discard", "digest": self.digest})


@dataclass(frozen=True)
class SpaceAnswer:
    """``reason`` is None if the space is granted."""

    reason: Reason | None = None
    message: str = ""

    @classmethod
    def parse(cls, line: bytes) -> "SpaceAnswer":
        """Raises ValueError for a malformed answer. An unknown reason means that there is no space now."""
        fields = _answer(line)
        if fields.get("granted") is True:
            return cls()
        reason = next((reason for reason in _NO_ROOM if reason == fields.get("reason")), Reason.CACHE_FULL)
        return cls(reason, _message(fields))

    def as_line(self) -> bytes:
        if self.reason is None:
            return _line({"granted": True})
        return _line({"granted": False, "reason": self.reason, "message": self.message})


@dataclass(frozen=True)
class DiscardAnswer:
    """``message`` explains why the entry is still there, if it is."""

    discarded: bool
    message: str = ""

    @classmethod
    def parse(cls, line: bytes) -> "DiscardAnswer":
        """Raises ValueError for a malformed answer."""
        fields = _answer(line)
        return cls(discarded=True) if fields.get("discarded") is True else cls(False, _message(fields))

    def as_line(self) -> bytes:
        return _line({"discarded": True} if self.discarded else {"discarded": False, "message": self.message})


def error_line(error: str) -> bytes:
    """The answer to what cannot be answered."""
    return _line({"error": error})


def parse_request(line: bytes) -> SpaceRequest | DiscardRequest:
    """Parses a request, which any process of the namespace may have written. Raises ValueError if it is malformed."""
    fields = _object(line)
    ask, digest, size_bytes = fields.get("ask"), fields.get("digest"), fields.get("bytes")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise ValueError("digest is not of the form sha256:<64 hex digits>")
    if ask == "discard":
        return DiscardRequest(digest)
    if ask != "space":
        raise ValueError("ask is neither space nor discard")
    if type(size_bytes) is not int or not 0 <= size_bytes < _LARGEST_SIZE_BYTES:
        raise ValueError("bytes is no size")
    return SpaceRequest(digest, size_bytes)


def _answer(line: bytes) -> dict[str, Any]:
    fields = _object(line)
    if "error" in fields:
        raise ValueError(f"it reports: {_printable(fields['error'])}")
    return fields


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("the line is no JSON") from error
    if not isinstance(fields, dict):
        raise ValueError("the line is no JSON object")  # noqa: TRY004 - what was sent is wrong, not its type in the code
    return fields


def _message(fields: dict[str, Any]) -> str:
    return _printable(fields.get("message")) or _NO_MESSAGE


def _printable(text: object) -> str:
    """The text, made safe for a log; empty if it is not text."""
    return "".join(c for c in text if c.isprintable())[:_MESSAGE_LIMIT] if isinstance(text, str) else ""


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"
