"""The agent's page of its cache (contract/cache_page.py), made of an overview."""

from modelyard.contract.cache_layout import digest_of
from modelyard.contract.cache_page import ENTRIES_LIMIT, CachePage, Entry, Namespace
from modelyard.node.cache.budget import Item, Kind
from modelyard.node.cache.overview import Overview


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
