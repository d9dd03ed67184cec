"""What a fetcher tells about itself, on its port while it runs and in its termination message at the end.

The fields are those of fetcher/state.py. Nothing of it is trusted: the pod belongs to a tenant, and anything with the
same labels can answer on that port. Types are checked, texts are cut and cleaned, sizes and times are bounded, and what
is missing or odd is None, never zero.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.api.conditions import bounded
from modelyard.contract import names
from modelyard.integrations.signals.pod_http import PodClient

WAITING = "Waiting"
"""The phase in which another pod of the node brings the model."""

SIZE_LIMIT_BYTES = 8192
"""Longest answer that is read, headers included: twice what the fetcher ever sends (4096 and a few headers)."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_POD_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_LARGEST_SIZE_BYTES = 2**53
"""Beyond it JSON numbers are not exact; no model comes near."""
_LONGEST_S = 366 * 86_400
_URI_LENGTH = 1024


@dataclass(frozen=True)
class FetchError:
    """Why the last attempt failed, in the fetcher's words: ``reason`` as it came, so check it before use."""

    reason: str
    message: str


@dataclass(frozen=True)
class FetchState:
    """A fetcher's state. None: it did not say, or not in a form that can be believed.

    ``seconds`` is how long this pod's attempt has taken, ``fetched_bytes`` what it brought itself. While the phase is
    WAITING, another pod of the node brings the model, ``waiting_for_pod`` by its uid, and the other bytes are that
    pod's.
    """

    phase: str | None = None
    uri: str | None = None
    medium: str | None = None
    digest: str | None = None
    mounted: bool | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: int | None = None
    cache_hit: bool | None = None
    fetched_bytes: int | None = None
    seconds: float | None = None
    waiting_for_pod: str | None = None
    error: FetchError | None = None


def parse(text: str | bytes | None) -> FetchState | None:
    """The state in ``text``, the fetcher's JSON; None when it is no JSON object or longer than SIZE_LIMIT_BYTES."""
    if not text or len(text) > SIZE_LIMIT_BYTES:
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return FetchState(
        phase=_text(fields.get("phase"), 64),
        uri=_text(fields.get("uri"), _URI_LENGTH),
        medium=_text(fields.get("medium"), 64),
        digest=_matching(_DIGEST, fields.get("digest")),
        mounted=_fact(fields.get("mounted")),
        bytes_done=_count(fields.get("bytesDone")),
        bytes_total=_count(fields.get("bytesTotal")),
        bytes_per_second=_count(fields.get("bytesPerSecond")),
        cache_hit=_fact(fields.get("cacheHit")),
        fetched_bytes=_count(fields.get("fetchedBytes")),
        seconds=_duration_s(fields.get("seconds")),
        waiting_for_pod=_matching(_POD_UID, fields.get("waitingForPod")),
        error=_error(fields.get("error")),
    )


async def read(pods: PodClient, pod_ip: str, port: int = names.FETCH_STATE_PORT) -> FetchState | None:
    """The state that the fetcher at ``pod_ip`` tells now; None when it gives no usable answer in time."""
    return parse(await pods.ask(pod_ip, port, size_limit_bytes=SIZE_LIMIT_BYTES))


def _text(value: Any, length: int) -> str | None:
    return bounded(value, length) or None if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _LARGEST_SIZE_BYTES else None


def _fact(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _duration_s(value: Any) -> float | None:
    is_number = type(value) in {int, float}
    return float(value) if is_number and 0 <= value <= _LONGEST_S else None  # NaN is in no range


def _matching(form: re.Pattern[str], value: Any) -> str | None:
    return value if isinstance(value, str) and form.fullmatch(value) else None


def _error(value: Any) -> FetchError | None:
    if not isinstance(value, Mapping):
        return None
    message = _text(value.get("message"), 1024)
    return FetchError(_text(value.get("reason"), 64) or "", message or "the fetcher gave no message")
