"""What the cache holds at one moment, in plain figures, and as the agent's page (contract/cache_page.py)."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelyard.contract.cache_layout import digest_of
from modelyard.contract.cache_page import ENTRIES_LIMIT, CachePage, Entry, Namespace
from modelyard.node.cache.budget import Holding, Item, Kind, Limits


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
    """The last result of ``look``, at most some seconds old, however often it is requested."""

    def __init__(self, look: Callable[[], Overview | None], age_s: float, now_s: Callable[[], float]) -> None:
        self._look = look
        self._age_s = age_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._found: Overview | None = None
        self._found_at_s = float("-inf")

    def get(self) -> Overview | None:
        """The overview; None if the node has no folder for the cache."""
        with self._lock:
            if self._now_s() - self._found_at_s > self._age_s:
                self._found = self._look()
                self._found_at_s = self._now_s()
            return self._found


def page(node: str, overview: Overview | None) -> CachePage:
    """The page; without an overview: of a node that has no folder for the cache."""
    if overview is None:
        return CachePage(node, path_missing=True)
    return CachePage(
        node,
        path_missing=False,
        budget_bytes=overview.limits.budget_bytes,
        used_bytes=sum(holding.used_bytes for holding in overview.holdings),
        free_bytes=overview.disk.free_bytes,
        namespaces=tuple(
            Namespace(
                name=overview.names.get(holding.namespace, ""),
                uid=holding.namespace,
                used_bytes=holding.used_bytes,
                over_budget=holding.is_over_budget,
                entries=_entries(holding.items),
            )
            for holding in overview.holdings
        ),
    )


def _entries(items: tuple[Item, ...]) -> tuple[Entry, ...]:
    entries = sorted((item for item in items if item.kind is Kind.ENTRY), key=lambda item: -item.size_bytes)
    return tuple(Entry(digest_of(item.name), item.size_bytes, item.pins) for item in entries[:ENTRIES_LIMIT])
