"""What the cache holds at one moment, in plain figures."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelyard.node.cache.budget import Holding, Limits


@dataclass(frozen=True)
class Disk:
    """The file system that the cache is on; ``free_bytes`` is what others than root may still write."""

    capacity_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Overview:
    """One look at everything. Names and contents are by namespace UID."""

    limits: Limits
    disk: Disk
    names: Mapping[str, str]
    holdings: tuple[Holding, ...]


class Recent:
    """What ``look`` found some seconds ago at most, however often and by whomever it is asked for."""

    def __init__(self, look: Callable[[], Overview | None], age_s: float, now_s: Callable[[], float]) -> None:
        self._look = look
        self._age_s = age_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._found: Overview | None = None
        self._found_at_s = float("-inf")

    def get(self) -> Overview | None:
        """The overview; None where the node has no folder for the cache."""
        with self._lock:
            if self._now_s() - self._found_at_s > self._age_s:
                self._found = self._look()
                self._found_at_s = self._now_s()
            return self._found
