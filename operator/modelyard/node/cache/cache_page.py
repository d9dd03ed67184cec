"""What the agent tells of its node's cache: the object behind GET /cache."""

from typing import Any

from modelyard.node.cache.budget import Item, Kind
from modelyard.node.cache.overview import Overview

MAX_ENTRIES = 200
"""Entries told of one namespace, the largest first: a hundred namespaces fit into what the operator reads (4 MiB)."""


def as_object(node: str, overview: Overview | None) -> dict[str, Any]:
    """The cache in plain values; without an overview: of a node that has no folder for it."""
    if overview is None:
        figures = {"path_missing": True, "budget_bytes": 0, "used_bytes": 0, "free_bytes": 0, "namespaces": []}
        return {"node": node} | figures
    return {
        "node": node,
        "path_missing": False,
        "budget_bytes": overview.limits.budget_bytes,
        "used_bytes": sum(holding.used_bytes for holding in overview.holdings),
        "free_bytes": overview.disk.free_bytes,
        "namespaces": [
            {
                "name": overview.names.get(holding.namespace, ""),
                "uid": holding.namespace,
                "used_bytes": holding.used_bytes,
                "over_budget": holding.is_over_budget,
                "entries": _entries(holding.items),
            }
            for holding in overview.holdings
        ],
    }


def _entries(items: tuple[Item, ...]) -> list[dict[str, Any]]:
    entries = sorted((item for item in items if item.kind is Kind.ENTRY), key=lambda item: -item.size_bytes)
    return [
        {"digest": item.name.replace("-", ":"), "size_bytes": item.size_bytes, "pins": item.pins}
        for item in entries[:MAX_ENTRIES]
    ]
