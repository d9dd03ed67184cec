"""What a fetcher reports: on its port while it runs, in its container's termination message at the end.

One JSON object; the attributes of FetchReport document its fields. A new reason is one line in Reason and a section in
docs/troubleshooting.md.

The operator trusts none of it: the pod belongs to a tenant, and anything with the same labels can answer on that port.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from modelyard.contract import untrusted
from modelyard.contract.digests import DIGEST, UID

SIZE_LIMIT_BYTES = 4096
"""The longest report: the kubelet's limit for a termination message (Kubernetes documentation, "Determine the Reason
for Pod Failure")."""

_TEXT_LENGTH = 1024
_NO_MESSAGE = "the fetcher gave no message"

Word = TypeVar("Word", bound=StrEnum)


class Phase(StrEnum):
    """What the fetcher does. LISTING begins an attempt."""

    STARTING = "Starting"
    LISTING = "Listing"
    WAITING = "Waiting"
    """Another pod of the node fetches the model."""
    DOWNLOADING = "Downloading"
    PUBLISHING = "Publishing"
    RETRYING = "Retrying"
    DONE = "Done"
    FAILED = "Failed"
    STOPPED = "Stopped"


ATTEMPT_ENDED = frozenset({Phase.RETRYING, Phase.DONE, Phase.FAILED, Phase.STOPPED})
"""Phases in which no attempt is under way."""

BEYOND_LISTING = frozenset({Phase.WAITING, Phase.DOWNLOADING, Phase.PUBLISHING, Phase.DONE})
"""Phases in which an attempt got further than the listing."""


class Reason(StrEnum):
    """Why a fetch failed: words that stand in a condition as they are."""

    ACCESS_DENIED = "AccessDenied"
    BUCKET_NOT_FOUND = "BucketNotFound"
    BUDGET_TOO_SMALL = "BudgetTooSmall"
    CACHE_AGENT_UNAVAILABLE = "CacheAgentUnavailable"
    CACHE_FULL = "CacheFull"
    CACHE_NOT_WRITABLE = "CacheNotWritable"
    CA_BUNDLE_INVALID = "CABundleInvalid"
    CA_BUNDLE_MISSING = "CABundleMissing"
    CERTIFICATE_NOT_TRUSTED = "CertificateNotTrusted"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    CLOCK_SKEW = "ClockSkew"
    CREDENTIALS_INVALID = "CredentialsInvalid"
    CREDENTIALS_MISSING = "CredentialsMissing"
    DIGEST_MISMATCH = "DigestMismatch"
    DISK_FULL = "DiskFull"
    ENDPOINT_UNREACHABLE = "EndpointUnreachable"
    INTERNAL_ERROR = "InternalError"
    INVALID_CONFIGURATION = "InvalidConfiguration"
    MODEL_ARCHIVED = "ModelArchived"
    MODEL_INCOMPLETE = "ModelIncomplete"
    MODEL_NOT_FOUND = "ModelNotFound"
    OVER_BUDGET = "OverBudget"
    PROXY_FAILED = "ProxyFailed"
    SOURCE_CHANGED = "SourceChanged"
    SOURCE_ERROR = "SourceError"
    THROTTLED = "Throttled"
    TOO_MANY_FILES = "TooManyFiles"
    UNKNOWN_SCHEME = "UnknownScheme"
    UNSAFE_KEY = "UnsafeKey"
    WRONG_REGION = "WrongRegion"


@dataclass(frozen=True)
class FetchFailure:
    """Why the last attempt failed. ``reason`` is None for an unknown reason: a newer fetcher's, or a forgery."""

    reason: Reason | None
    message: str


@dataclass(frozen=True)
class FetchReport:
    """A fetcher's state at one moment. None means: unknown, or reported in an invalid form.

    phase, since        what it does, and since when
    uri, revision       as configured
    digest              of the model's content; None until the source was listed, and for a mounted model
    mounted             the model is mounted where it lies: nothing is fetched or checked against a checksum
    bytes_done, bytes_total     of this model; the total is None until the source was listed
    bytes_per_second    over the last few seconds
    medium              where the cache lies: names.Medium
    cache_hit           the model was in the cache already, or another pod brought it
    fetched_bytes       what this pod's fetcher has transferred itself, in all its attempts
    seconds             how long the attempt has taken so far, or took
    waiting_for_pod     uid of the pod of this node that fetches, or fetched, the model while this one waits; in the
                        phase WAITING the three about bytes are that pod's
    unverified_files    how many files the source stores no checksum of: only their sizes were checked
    error               the last attempt's failure, until an attempt gets further
    """

    phase: Phase | None = None
    since: datetime | None = None
    uri: str | None = None
    revision: str | None = None
    digest: str | None = None
    mounted: bool | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: int | None = None
    medium: str | None = None
    cache_hit: bool | None = None
    fetched_bytes: int | None = None
    seconds: float | None = None
    waiting_for_pod: str | None = None
    unverified_files: int | None = None
    error: FetchFailure | None = None

    def as_json(self) -> str:
        """At most SIZE_LIMIT_BYTES of JSON: what is too long is cut, first of all the error's message."""
        for text_limit in (2000, 300, 60):
            text = json.dumps(self._fields(text_limit))
            if len(text) <= SIZE_LIMIT_BYTES:  # json.dumps writes ASCII: characters are bytes
                return text
        raise AssertionError("a report with every text cut to 60 characters always fits")

    def _fields(self, text_limit: int) -> dict[str, Any]:
        return {
            "phase": self.phase,
            "since": self.since and self.since.astimezone(UTC).isoformat(timespec="seconds"),
            "uri": _cut(self.uri, text_limit),
            "revision": _cut(self.revision, text_limit),
            "digest": self.digest,
            "mounted": self.mounted,
            "bytesDone": self.bytes_done,
            "bytesTotal": self.bytes_total,
            "bytesPerSecond": self.bytes_per_second,
            "medium": self.medium,
            "cacheHit": self.cache_hit,
            "fetchedBytes": self.fetched_bytes,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "waitingForPod": self.waiting_for_pod,
            "unverifiedFiles": self.unverified_files,
            "error": self.error and {"reason": self.error.reason, "message": _cut(self.error.message, text_limit)},
        }


def parse(text: str | bytes | None) -> FetchReport | None:
    """Parses an untrusted report: checks types, cuts and cleans texts, bounds sizes and times. None if ``text`` is not
    a JSON object, or is longer than SIZE_LIMIT_BYTES.
    """
    if not text or len(text) > SIZE_LIMIT_BYTES:
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return FetchReport(
        phase=_word(Phase, fields.get("phase")),
        since=_moment(fields.get("since")),
        uri=untrusted.text(fields.get("uri"), _TEXT_LENGTH),
        revision=untrusted.text(fields.get("revision"), _TEXT_LENGTH),
        digest=untrusted.matching(DIGEST, fields.get("digest")),
        mounted=untrusted.flag(fields.get("mounted")),
        bytes_done=untrusted.count(fields.get("bytesDone")),
        bytes_total=untrusted.count(fields.get("bytesTotal")),
        bytes_per_second=untrusted.count(fields.get("bytesPerSecond")),
        medium=untrusted.text(fields.get("medium"), 64),
        cache_hit=untrusted.flag(fields.get("cacheHit")),
        fetched_bytes=untrusted.count(fields.get("fetchedBytes")),
        seconds=untrusted.duration_s(fields.get("seconds")),
        waiting_for_pod=untrusted.matching(UID, fields.get("waitingForPod")),
        unverified_files=untrusted.count(fields.get("unverifiedFiles")),
        error=_failure(fields.get("error")),
    )


def _failure(value: object) -> FetchFailure | None:
    if not isinstance(value, dict):
        return None
    message = untrusted.text(value.get("message"), _TEXT_LENGTH)
    return FetchFailure(_word(Reason, value.get("reason")), message or _NO_MESSAGE)


def _word(kind: type[Word], value: object) -> Word | None:
    return next((word for word in kind if word == value), None)


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _cut(text: str | None, limit: int) -> str | None:
    return text if text is None or len(text) <= limit else text[: limit - 3] + "..."
