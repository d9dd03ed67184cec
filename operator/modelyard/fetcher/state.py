"""What the fetcher tells about itself: on its port while it runs, in the termination message at its end.

The JSON, one object:

    phase           one of Phase
    since           when the phase began, RFC 3339 in UTC
    uri, revision   as configured
    digest          sha256:... of the model's content, null until the source was listed, and for a mounted model
    mounted         true when the model is mounted where it lies: nothing is fetched or checked against a checksum
    bytesDone, bytesTotal       of this model; bytesTotal is null until the source was listed
    bytesPerSecond  over the last few seconds
    cacheHit        true when the model was already there; null until known
    unverifiedFiles how many files the source stores no checksum of: of these only the size was checked
    error           null, or {reason, message}: the last attempt's failure, until the next attempt gets further

Whoever reads it treats it as untrusted: any pod with the same labels can answer on that port.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

SIZE_LIMIT_BYTES = 4096
"""The kubelet's limit for a termination message (Kubernetes documentation, "Determine the Reason for Pod Failure")."""

_RATE_WINDOW_SAMPLES = 6


class Phase(StrEnum):
    STARTING = "Starting"
    LISTING = "Listing"
    DOWNLOADING = "Downloading"
    PUBLISHING = "Publishing"
    RETRYING = "Retrying"
    DONE = "Done"
    FAILED = "Failed"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment, as plain data."""

    phase: Phase
    since: datetime
    uri: str
    revision: str | None
    digest: str | None
    mounted: bool
    bytes_done: int
    bytes_total: int | None
    bytes_per_second: int
    cache_hit: bool | None
    unverified_files: int
    error: tuple[str, str] | None

    def as_json(self) -> str:
        """At most SIZE_LIMIT_BYTES of JSON: what is too long is cut, first of all the error's message."""
        for text_limit in (2000, 300, 60):
            text = json.dumps(self._fields(text_limit))
            if len(text) <= SIZE_LIMIT_BYTES:  # json.dumps writes ASCII: characters are bytes
                return text
        raise AssertionError("a snapshot with every text cut to 60 characters always fits")

    def _fields(self, text_limit: int) -> dict[str, Any]:
        error = self.error and {"reason": self.error[0], "message": _cut(self.error[1], text_limit)}
        return {
            "phase": self.phase,
            "since": self.since.astimezone(UTC).isoformat(timespec="seconds"),
            "uri": _cut(self.uri, text_limit),
            "revision": self.revision and _cut(self.revision, text_limit),
            "digest": self.digest,
            "mounted": self.mounted,
            "bytesDone": self.bytes_done,
            "bytesTotal": self.bytes_total,
            "bytesPerSecond": self.bytes_per_second,
            "cacheHit": self.cache_hit,
            "unverifiedFiles": self.unverified_files,
            "error": error,
        }


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


class State:
    """The fetcher's progress, written by its worker threads and read by its port and its log. Thread-safe."""

    def __init__(self, uri: str, revision: str | None, wall_clock: Callable[[], datetime]) -> None:
        self._lock = threading.Lock()
        self._uri = uri
        self._revision = revision
        self._wall_clock = wall_clock
        self._phase = Phase.STARTING
        self._since = wall_clock()
        self._digest: str | None = None
        self._mounted = False
        self._bytes_done = 0
        self._bytes_total: int | None = None
        self._cache_hit: bool | None = None
        self._unverified_files = 0
        self._error: tuple[str, str] | None = None
        self._samples: deque[tuple[float, int]] = deque(maxlen=_RATE_WINDOW_SAMPLES)

    def enter(self, phase: Phase) -> None:
        """A phase begins. An earlier attempt's error stays told until a download, a publication or the end."""
        with self._lock:
            self._phase = phase
            self._since = self._wall_clock()
            if phase in {Phase.DOWNLOADING, Phase.PUBLISHING, Phase.DONE}:
                self._error = None

    def found(self, digest: str, bytes_total: int, *, cache_hit: bool, unverified_files: int) -> None:
        """The source was listed, and the cache looked at."""
        with self._lock:
            self._digest = digest
            self._bytes_total = bytes_total
            self._bytes_done = bytes_total if cache_hit else 0
            self._cache_hit = cache_hit
            self._unverified_files = unverified_files
            self._samples.clear()

    def found_mounted(self, bytes_total: int) -> None:
        """The model lies in the pod, as large as this."""
        with self._lock:
            self._mounted = True
            self._bytes_done = self._bytes_total = bytes_total

    def add_bytes(self, count: int) -> None:
        """More of the model is on the disk; a negative count takes back what must come again."""
        with self._lock:
            self._bytes_done += count

    def fail(self, phase: Phase, reason: str, message: str) -> None:
        with self._lock:
            self._phase = phase
            self._since = self._wall_clock()
            self._error = (reason, message)
            self._samples.clear()

    def sample_rate(self, monotonic_s: float) -> None:
        """Called about once a second: the rate is taken over the last few of these calls."""
        with self._lock:
            self._samples.append((monotonic_s, self._bytes_done))

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(
                phase=self._phase,
                since=self._since,
                uri=self._uri,
                revision=self._revision,
                digest=self._digest,
                mounted=self._mounted,
                bytes_done=self._bytes_done,
                bytes_total=self._bytes_total,
                bytes_per_second=self._bytes_per_second(),
                cache_hit=self._cache_hit,
                unverified_files=self._unverified_files,
                error=self._error,
            )

    def _bytes_per_second(self) -> int:
        if self._phase is not Phase.DOWNLOADING or len(self._samples) < 2:
            return 0
        (first_s, first_bytes), (last_s, last_bytes) = self._samples[0], self._samples[-1]
        return max(0, round((last_bytes - first_bytes) / (last_s - first_s))) if last_s > first_s else 0
