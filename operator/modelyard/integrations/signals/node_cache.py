"""Reads from a node's agent what its cache holds (contract/cache_page.py)."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.contract import cache_page, names
from modelyard.integrations.signals.pod_http import PodClient

TIME_LIMIT_S = 5.0
"""Longest time for one answer."""


@dataclass(frozen=True)
class NodeCache:
    """A node's cache. ``held`` has the digests of the models by the namespace's name; empty without a folder."""

    node: str
    path_missing: bool
    held: Mapping[str, frozenset[str]]


def parse(text: bytes | None) -> NodeCache | None:
    """The cache that ``text`` reports; None when it is no agent's page."""
    try:
        page = cache_page.parse(text or b"")
    except ValueError:
        return None
    held: dict[str, set[str]] = {}
    for namespace in page.namespaces:
        held.setdefault(namespace.name, set()).update(entry.digest for entry in namespace.entries)
    return NodeCache(page.node, page.path_missing, {name: frozenset(digests) for name, digests in held.items()})


async def read(pods: PodClient, pod_ip: str, port: int = names.NODE_PORT) -> NodeCache | None:
    """What the agent at ``pod_ip`` reports now; None when it gives no usable answer in time."""
    limit_bytes = cache_page.SIZE_LIMIT_BYTES
    return parse(await pods.ask(pod_ip, port, cache_page.PATH, size_limit_bytes=limit_bytes, time_limit_s=TIME_LIMIT_S))
