"""The state of a fetch, from which its report is made (contract/fetch_report.py)."""

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from modelyard.contract import names
from modelyard.contract.fetch_report import ATTEMPT_ENDED, FetchFailure, FetchReport, Phase, Reason

_RATE_WINDOW_SAMPLES = 6

_LINE_INTERVAL_S = 9.0
"""A fetch that stands still is logged this often: with a look once a second, at least every 10 s."""

_STAGES = {Phase.LISTING: 0, Phase.WAITING: 1, Phase.DOWNLOADING: 1, Phase.PUBLISHING: 2, Phase.DONE: 3}
"""How far an attempt is; while bytes come, these count too."""

_NOWHERE = (-1, 0)


def as_line(report: FetchReport) -> str:
    """The progress for a log: how much, how fast, and how long it may take."""
    if report.bytes_total is None:
        return f"{report.phase}"
    line = f"{report.phase}: {report.bytes_done} of {report.bytes_total} bytes, {report.bytes_per_second} bytes/s"
    if report.bytes_per_second and report.phase in {Phase.DOWNLOADING, Phase.WAITING}:
        left_bytes = max(0, report.bytes_total - (report.bytes_done or 0))
        line += f", {left_bytes / report.bytes_per_second:.0f} s left"
    if report.phase is Phase.WAITING and report.waiting_for_pod:
        line += f"; pod {report.waiting_for_pod} on this node is fetching"
    return line


class ProgressLines:
    """The lines of progress for a log: each that differs from the last, and the same again when the last one is old."""

    def __init__(self) -> None:
        self._last = ""
        self._last_s = 0.0

    def due(self, report: FetchReport, monotonic_s: float) -> str | None:
        """The line to log now; None if there is none, as in phases that have no progress."""
        line = as_line(report)
        is_old = monotonic_s - self._last_s >= _LINE_INTERVAL_S
        if report.phase not in {Phase.WAITING, Phase.DOWNLOADING} or (line == self._last and not is_old):
            return None
        self._last, self._last_s = line, monotonic_s
        return line


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
        self._reported_bytes_per_second = 0
        self._unverified_files = 0
        self._error: FetchFailure | None = None
        self._reached = _NOWHERE
        """How far this attempt has come at the most: stage, and bytes in it."""
        self._failed_at = _NOWHERE
        """How far the attempt had come that ended with the error."""
        self._samples: deque[tuple[float, int]] = deque(maxlen=_RATE_WINDOW_SAMPLES)
        self._read_s: float | None = None

    def note_read(self) -> None:
        """The report was read over the network."""
        with self._lock:
            self._read_s = self._monotonic_clock_s()

    def last_read_s(self) -> float | None:
        """When the report was last read over the network, by the monotonic clock; None before."""
        with self._lock:
            return self._read_s

    def enter(self, phase: Phase) -> None:
        """A phase begins. An earlier attempt's error stays until one gets further than that attempt did."""
        with self._lock:
            self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        if phase is Phase.LISTING:
            self._begun_s = self._monotonic_clock_s()
        self._ended_s = self._monotonic_clock_s() if phase in ATTEMPT_ENDED else None
        self._phase = phase
        self._since = self._wall_clock()
        self._note_position()

    def _note_position(self) -> None:
        stage = _STAGES.get(self._phase)
        if stage is None:
            return
        here = (stage, self._bytes_done if stage == 1 else 0)
        self._reached = here if self._phase is Phase.LISTING else max(self._reached, here)
        if here > self._failed_at:
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
        """Another pod of the node fetches the model, with this progress; None before its first report."""
        with self._lock:
            self._bytes_done = bytes_done
            if self._phase is not Phase.WAITING:
                self._enter(Phase.WAITING)
            self._waiting_for_pod = pod_uid or self._waiting_for_pod
            self._reported_bytes_per_second = bytes_per_second
            self._note_position()

    def hit(self) -> None:
        """The whole model is in the cache."""
        with self._lock:
            self._cache_hit = True
            self._bytes_done = self._bytes_total or 0

    def begin(self, bytes_done: int) -> None:
        """The pod starts to fetch the model itself; so much of it is there already."""
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
            self._note_position()

    def fail(self, phase: Phase, reason: Reason, message: str) -> None:
        with self._lock:
            self._enter(phase)
            self._error = FetchFailure(reason, message)
            self._failed_at = self._reached
            self._samples.clear()

    def sample_rate(self, monotonic_s: float) -> None:
        """Called about once a second: the rate is taken over the last few of these calls."""
        with self._lock:
            self._samples.append((monotonic_s, self._bytes_done))

    def report(self) -> FetchReport:
        with self._lock:
            return FetchReport(
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
            return self._reported_bytes_per_second
        if self._phase is not Phase.DOWNLOADING or len(self._samples) < 2:
            return 0
        (first_s, first_bytes), (last_s, last_bytes) = self._samples[0], self._samples[-1]
        return max(0, round((last_bytes - first_bytes) / (last_s - first_s))) if last_s > first_s else 0
