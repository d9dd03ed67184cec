"""Decides who gets space in the node's cache, and what to evict for it. Pure: figures in, a decision out.

The rules, in order: nothing in use is evicted; the requester's own items go before those of others; of others only
what exceeds the share that each namespace is guaranteed; the least recently used first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from modelyard.contract.fetch_report import Reason
from modelyard.node.cache.sizes import readable


class Kind(StrEnum):
    """What can be evicted; the values are the folders' names in the layout."""

    ENTRY = "entries"
    COMPILE_CACHE = "compile"
    STAGING = "staging"


@dataclass(frozen=True)
class Item:
    """One thing that can be evicted as a whole. ``last_used_s`` is a time of the wall clock."""

    namespace: str
    kind: Kind
    name: str
    size_bytes: int
    last_used_s: float
    pins: int = 0


@dataclass(frozen=True)
class Holding:
    """What one namespace (its UID) has on the node. ``used_bytes`` is all of it, including ``items``.

    ``promised_bytes`` are granted and not yet written. ``is_over_budget``: it wrote more than it was granted.
    """

    namespace: str
    used_bytes: int
    items: tuple[Item, ...] = ()
    promised_bytes: int = 0
    is_over_budget: bool = False


@dataclass(frozen=True)
class Limits:
    """``guaranteed_bytes`` is each namespace's; ``reserve_bytes`` stay free of the disk's ``capacity_bytes``."""

    budget_bytes: int
    reserve_bytes: int
    guaranteed_bytes: int
    capacity_bytes: int

    @property
    def largest_bytes(self) -> int:
        """What an empty cache could hold on an otherwise empty file system."""
        return max(0, min(self.budget_bytes, self.capacity_bytes - self.reserve_bytes))


@dataclass(frozen=True)
class Refusal:
    """No space. ``message`` has the figures and the remedy."""

    reason: Reason
    message: str


def evictions_for(
    asker: str, wanted_bytes: int, holdings: Sequence[Holding], limits: Limits, free_bytes: int
) -> list[Item] | Refusal:
    """What to evict before the namespace ``asker`` may write ``wanted_bytes`` more, or why it may not.

    ``free_bytes`` is what the file system has left now.
    """
    own = next((holding for holding in holdings if holding.namespace == asker), Holding(asker, 0))
    if wanted_bytes > limits.largest_bytes:
        return Refusal(Reason.BUDGET_TOO_SMALL, _too_large(wanted_bytes, limits))
    if own.is_over_budget:
        return Refusal(Reason.OVER_BUDGET, _over_budget(own, limits))
    missing_bytes = shortage_bytes(wanted_bytes, holdings, limits, free_bytes)
    chosen = _choose(missing_bytes, asker, holdings, limits)
    lacking_bytes = missing_bytes - sum(item.size_bytes for item in chosen)
    if lacking_bytes > 0:
        return Refusal(Reason.CACHE_FULL, _full(wanted_bytes, lacking_bytes, holdings, limits, free_bytes))
    return chosen


def evictions_to_fit(holdings: Sequence[Holding], limits: Limits, free_bytes: int) -> list[Item]:
    """What to evict to bring the cache back within its limits, as far as possible.

    Namespaces that wrote more than they were granted are evicted from first.
    """
    missing_bytes = shortage_bytes(0, holdings, limits, free_bytes)
    chosen: list[Item] = []
    for holding in (holding for holding in holdings if holding.is_over_budget):
        chosen += _until(missing_bytes - _total(chosen), _oldest_first(holding.items))
    others = [holding for holding in holdings if not holding.is_over_budget]
    return chosen + _choose(missing_bytes - _total(chosen), "", others, limits)


def shortage_bytes(wanted_bytes: int, holdings: Iterable[Holding], limits: Limits, free_bytes: int) -> int:
    """How much must go before ``wanted_bytes`` more fit; 0 or less: they fit now."""
    used_bytes = promised_bytes = 0
    for holding in holdings:
        used_bytes += holding.used_bytes
        promised_bytes += holding.promised_bytes
    coming_bytes = promised_bytes + wanted_bytes
    return max(used_bytes + coming_bytes - limits.budget_bytes, limits.reserve_bytes + coming_bytes - free_bytes)


def _total(items: Iterable[Item]) -> int:
    return sum(item.size_bytes for item in items)


def _oldest_first(items: Iterable[Item]) -> list[Item]:
    """What may go, the least recently used first; the name makes the order the same each time."""
    unused = (item for item in items if not item.pins and item.size_bytes > 0)
    return sorted(unused, key=lambda item: (item.last_used_s, item.namespace, item.name))


def _until(missing_bytes: int, items: Iterable[Item]) -> list[Item]:
    chosen: list[Item] = []
    for item in items:
        if _total(chosen) >= missing_bytes:
            break
        chosen.append(item)
    return chosen


def _choose(missing_bytes: int, asker: str, holdings: Sequence[Holding], limits: Limits) -> list[Item]:
    own = [item for holding in holdings if holding.namespace == asker for item in holding.items]
    chosen = _until(missing_bytes, _oldest_first(own))
    others = [holding for holding in holdings if holding.namespace != asker]
    return chosen + _until(missing_bytes - _total(chosen), _above_their_share(others, limits.guaranteed_bytes))


def _above_their_share(holdings: Iterable[Holding], guaranteed_bytes: int) -> list[Item]:
    """What namespaces may lose, the least recently used first, and none so much that its share is touched."""
    spare_bytes = {holding.namespace: holding.used_bytes - guaranteed_bytes for holding in holdings}
    chosen = []
    for item in _oldest_first(item for holding in holdings for item in holding.items):
        if item.size_bytes <= spare_bytes[item.namespace]:
            spare_bytes[item.namespace] -= item.size_bytes
            chosen.append(item)
    return chosen


def _too_large(wanted_bytes: int, limits: Limits) -> str:
    return (
        f"the model needs {readable(wanted_bytes)}, but this node's cache can hold at most "
        f"{readable(limits.largest_bytes)} (budget {readable(limits.budget_bytes)}; disk "
        f"{readable(limits.capacity_bytes)}, of which {readable(limits.reserve_bytes)} stay free). Use nodes with a "
        "larger cache, or set spec.cache.medium to Ephemeral"
    )


def _over_budget(own: Holding, limits: Limits) -> str:
    return (
        f"this namespace uses {readable(own.used_bytes)} on this node, of which more than its share of "
        f"{readable(limits.guaranteed_bytes)} was written without a reservation. "
        "Delete the pods that write to the cache volume beside modelyard-fetch"
    )


def _full(wanted_bytes: int, lacking_bytes: int, holdings: Sequence[Holding], limits: Limits, free_bytes: int) -> str:
    in_use_bytes = _total(item for holding in holdings for item in holding.items if item.pins)
    used_bytes = sum(holding.used_bytes + holding.promised_bytes for holding in holdings)
    return (
        f"the model needs {readable(wanted_bytes)}, of which {readable(lacking_bytes)} cannot be freed: of the budget "
        f"of {readable(limits.budget_bytes)}, {readable(used_bytes)} are used, {readable(in_use_bytes)} of them by "
        f"models in use; {readable(free_bytes)} of the disk are free, and {readable(limits.reserve_bytes)} must stay "
        "free. The fetch is retried: wait for other pods to end, use another node, or raise the budget"
    )
