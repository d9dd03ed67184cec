"""What the fetcher tells about itself: on its port while it runs, in the termination message at its end.

The JSON, one object:

    phase           one of Phase
    since           when the phase began, RFC 3339 in UTC
    uri, revision   as configured
    digest          sha256:... of the model's content, null until the source was listed, and for a mounted model
    mounted         true when the model is mounted where it lies: nothing is fetched or checked against a checksum
    bytesDone, bytesTotal       of this model; bytesTotal is null until the source was listed
    bytesPerSecond  over the last few seconds
    medium          where the cache lies: NodeLocal or Ephemeral
    cacheHit        true when the model was already there, or another pod brought it; null until known
    fetchedBytes    what this pod's fetcher has transferred itself, in all its attempts
    seconds         how long the attempt takes so far, or took
    waitingForPod   uid of the pod of this node that brings, or brought, the model while this one waits; else null. In
                    the phase Waiting the three about bytes are that pod's
    unverifiedFiles how many files the source stores no checksum of: of these only the size was checked
    error           null, or {reason, message}: the last attempt's failure, until the next attempt gets further

Whoever reads it treats it as untrusted: any pod with the same labels can answer on that port.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from modelyard.contract import names

SIZE_LIMIT_BYTES = 4096
"""The kubelet's limit for a termination message (Kubernetes documentation, "Determine the Reason for Pod Failure")."""

_RATE_WINDOW_SAMPLES = 6


class Phase(StrEnum):
    STARTING = "Starting"
    LISTING = "Listing"
    WAITING = "Waiting"
    DOWNLOADING = "Downloading"
    PUBLISHING = "Publishing"
    RETRYING = "Retrying"
    DONE = "Done"
    FAILED = "Failed"
    STOPPED = "Stopped"


_ENDS = {Phase.RETRYING, Phase.DONE, Phase.FAILED, Phase.STOPPED}
"""Phases in which no attempt is under way."""


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
    medium: str
    cache_hit: bool | None
    fetched_bytes: int
    seconds: float
    waiting_for_pod: str | None
    unverified_files: int
    error: tuple[str, str] | None

    def as_json(self) -> str:
        """At most SIZE_LIMIT_BYTES of JSON: what is too long is cut, first of all the error's message."""
        for text_limit in (2000, 300, 60):
            text = json.dumps(self._fields(text_limit))
            if len(text) <= SIZE_LIMIT_BYTES:  # json.dumps writes ASCII: characters are bytes
                return text
        raise AssertionError("a snapshot with every text cut to 60 characters always fits")

    def as_line(self) -> str:
        """The progress for a log: how much, how fast, and how long it may take."""
        if self.bytes_total is None:
            return f"{self.phase}"
        line = f"{self.phase}: {self.bytes_done} of {self.bytes_total} bytes, {self.bytes_per_second} bytes/s"
        if self.bytes_per_second and self.phase in {Phase.DOWNLOADING, Phase.WAITING}:
            line += f", {max(0, self.bytes_total - self.bytes_done) / self.bytes_per_second:.0f} s left"
        if self.phase is Phase.WAITING and self.waiting_for_pod:
            line += f"; pod {self.waiting_for_pod} of this node fetches"
        return line

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
            "medium": self.medium,
            "cacheHit": self.cache_hit,
            "fetchedBytes": self.fetched_bytes,
            "seconds": round(self.seconds, 1),
            "waitingForPod": self.waiting_for_pod,
            "unverifiedFiles": self.unverified_files,
            "error": error,
        }


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


class State:
    """The fetcher's progress, written by its worker threads and read by its port and its log. Thread-safe."""

    def __init__(
        self,
        uri: str,
        revision: str | None,
        wall_clock: Callable[[], datetime],
        monotonic_clock_s: Callable[[], float] = time.monotonic,
        medium: str = names.MEDIUM_EPHEMERAL,
    ) -> None:
        self._lock = threading.Lock()
        self._uri = uri
        self._revision = revision
        self._wall_clock = wall_clock
        self._monotonic_clock_s = monotonic_clock_s
        self._medium = medium
        self._phase = Phase.STARTING
        self._since = wall_clock()
        self._begun_s = monotonic_clock_s()
        self._ended_s: float | None = None
        self._digest: str | None = None
        self._mounted = False
        self._bytes_done = 0
        self._bytes_total: int | None = None
        self._cache_hit: bool | None = None
        self._fetched_bytes = 0
        self._waiting_for_pod: str | None = None
        self._told_bytes_per_second = 0
        self._unverified_files = 0
        self._error: tuple[str, str] | None = None
        self._samples: deque[tuple[float, int]] = deque(maxlen=_RATE_WINDOW_SAMPLES)

    def enter(self, phase: Phase) -> None:
        """A phase begins. An earlier attempt's error stays told until one gets further than the listing."""
        with self._lock:
            self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        if phase is Phase.LISTING:
            self._begun_s = self._monotonic_clock_s()
        self._ended_s = self._monotonic_clock_s() if phase in _ENDS else None
        self._phase = phase
        self._since = self._wall_clock()
        if phase in {Phase.WAITING, Phase.DOWNLOADING, Phase.PUBLISHING, Phase.DONE}:
            self._error = None

    def found(self, digest: str, bytes_total: int, *, unverified_files: int) -> None:
        """The source was listed."""
        with self._lock:
            self._digest = digest
            self._bytes_total = bytes_total
            self._bytes_done = 0
            self._cache_hit = None
            self._waiting_for_pod = None
            self._unverified_files = unverified_files
            self._samples.clear()

    def found_mounted(self, bytes_total: int) -> None:
        """The model lies in the pod, as large as this."""
        with self._lock:
            self._mounted = True
            self._bytes_done = self._bytes_total = bytes_total

    def wait(self, pod_uid: str | None, bytes_done: int, bytes_per_second: int) -> None:
        """Another pod of the node brings the model, and is as far as this; None where it has not told yet."""
        with self._lock:
            if self._phase is not Phase.WAITING:
                self._enter(Phase.WAITING)
            self._waiting_for_pod = pod_uid or self._waiting_for_pod
            self._bytes_done = bytes_done
            self._told_bytes_per_second = bytes_per_second

    def hit(self) -> None:
        """The whole model is in the cache."""
        with self._lock:
            self._cache_hit = True
            self._bytes_done = self._bytes_total or 0

    def begin(self, bytes_done: int) -> None:
        """Now the model is brought by this pod; so much of it is there already."""
        with self._lock:
            self._cache_hit = False
            self._waiting_for_pod = None
            self._bytes_done = bytes_done
            self._samples.clear()
            self._enter(Phase.DOWNLOADING)

    def add_bytes(self, count: int) -> None:
        """More of the model was transferred to the disk; a negative count takes back what must come again."""
        with self._lock:
            self._bytes_done += count
            self._fetched_bytes += max(0, count)

    def fail(self, phase: Phase, reason: str, message: str) -> None:
        with self._lock:
            self._enter(phase)
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
                medium=self._medium,
                cache_hit=self._cache_hit,
                fetched_bytes=self._fetched_bytes,
                seconds=(self._monotonic_clock_s() if self._ended_s is None else self._ended_s) - self._begun_s,
                waiting_for_pod=self._waiting_for_pod,
                unverified_files=self._unverified_files,
                error=self._error,
            )

    def _bytes_per_second(self) -> int:
        if self._phase is Phase.WAITING:
            return self._told_bytes_per_second
        if self._phase is not Phase.DOWNLOADING or len(self._samples) < 2:
            return 0
        (first_s, first_bytes), (last_s, last_bytes) = self._samples[0], self._samples[-1]
        return max(0, round((last_bytes - first_bytes) / (last_s - first_s))) if last_s > first_s else 0
