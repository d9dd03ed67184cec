"""What each worker fetches next: long stretches while there is much to do, short ones towards the end.

One request for a long stretch saves what requests cost (a round trip, the store's time to a first byte); that all
workers end at about the same time needs short ones at last.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from modelyard.fetcher.disk.staging import Part
from modelyard.fetcher.download.file_download import FileDownload

_STRETCH_LIMIT_BYTES = 64 * 1024 * 1024
_ROUNDS_LEFT = 2
"""A stretch is so small that each worker gets this many more of that size."""


@dataclass(frozen=True)
class Stretch:
    """Parts of one file, one after the other. With none, the file needs only to be finished."""

    arrival: FileDownload
    parts: list[Part]


class Stretches:
    """Thread-safe."""

    def __init__(self, arrivals: Iterable[FileDownload]) -> None:
        self._changed = threading.Condition()
        self._waiting = list(arrivals)
        """Files with something to take, in order."""
        self._missing_bytes = sum(arrival.left_bytes for arrival in self._waiting)
        self._taken = 0
        self._is_closed = False
        self._workers = 0

    @property
    def is_done(self) -> bool:
        """Whether everything is done, or the queue closed."""
        return self._is_closed or not (self._waiting or self._taken)

    def let_work(self, workers: int) -> None:
        """From now on only workers of a lower number than this get anything."""
        with self._changed:
            self._workers = workers
            self._changed.notify_all()

    def close(self) -> None:
        """Hands out no more work."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Whether everything was done, or the queue closed, within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_done, seconds)

    def take(self, worker: int) -> Stretch | None:
        """Waits for something to fetch. None when there will be nothing any more."""
        with self._changed:
            while not self.is_done:
                arrival = self._next() if worker < self._workers else None
                if arrival:
                    return self._take_of(arrival)
                self._changed.wait()
            return None

    def give_back(self, stretch: Stretch, untouched: list[Part]) -> None:
        """The worker is done with the stretch; ``untouched`` is still to be fetched."""
        with self._changed:
            self._release(stretch)
            if untouched:
                stretch.arrival.give_back(untouched)
                self._put_back(stretch.arrival, untouched)

    def written(self, stretch: Stretch) -> bool:
        """One part of the stretch is written. Whether that was the file's last: then it is the worker's to finish."""
        with self._changed:
            stretch.arrival.parts_left -= 1
            return stretch.arrival.parts_left == 0

    def begin_again(self, arrival: FileDownload, problem: str) -> None:
        """All of the file must come again."""
        with self._changed:
            arrival.begin_again(problem)
            self._put_back(arrival, [])
            self._missing_bytes += arrival.left_bytes

    def _put_back(self, arrival: FileDownload, untouched: list[Part]) -> None:
        self._missing_bytes += sum(part.length for part in untouched)
        if arrival not in self._waiting:
            self._waiting.insert(0, arrival)
        self._changed.notify_all()

    def _release(self, stretch: Stretch) -> None:
        stretch.arrival.workers -= 1
        self._taken -= 1
        if self.is_done or self._waiting:
            self._changed.notify_all()

    def _next(self) -> FileDownload | None:
        """A file that needs its bytes in order and has no worker; else the first one that takes a worker."""
        second_best = None
        for arrival in self._waiting:
            if not arrival.workers:
                return arrival
            if not arrival.is_whole_file_only:
                second_best = second_best or arrival
                if not arrival.is_ordered:
                    return arrival
        return second_best

    def _take_of(self, arrival: FileDownload) -> Stretch:
        wanted_bytes = min(_STRETCH_LIMIT_BYTES, self._missing_bytes // (_ROUNDS_LEFT * max(1, self._workers)))
        if arrival.is_whole_file_only:
            wanted_bytes = arrival.file.size_bytes
        taken = arrival.take(wanted_bytes) if arrival.has_missing else []
        self._missing_bytes -= sum(part.length for part in taken)
        if not arrival.has_missing:
            self._waiting.remove(arrival)
        arrival.workers += 1
        self._taken += 1
        return Stretch(arrival, taken)
