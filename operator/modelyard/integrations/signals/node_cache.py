"""What a node's cache holds, as the node's agent tells it: GET /cache of modelyard-node.

The agent is ours, and the folders that it tells of are tenants': the answer is checked like any other. One that is not
of the form below tells nothing at all, since a part of it would pass for all that is there.

    {"node": name, "path_missing": bool, ..., "namespaces": [{"name": str, ..., "entries": [{"digest": str, ...}]}]}
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.contract import names
from modelyard.integrations.signals.pod_http import PodClient

PATH = "/cache"

SIZE_LIMIT_BYTES = 4 << 20
"""Longest answer that is read, headers included: some 20,000 entries."""

TIME_LIMIT_S = 5.0
"""Longest time for one answer."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class NodeCache:
    """A node's cache. ``held`` has the digests of the models by the namespace's name; empty without a folder."""

    node: str
    path_missing: bool
    held: Mapping[str, frozenset[str]]


def parse(text: bytes | None) -> NodeCache | None:
    """The cache that ``text`` tells of; None when it is not of the agent's form."""
    try:
        return _node_cache(json.loads(text or b""))
    except (ValueError, RecursionError, TypeError, KeyError):
        return None


async def read(pods: PodClient, pod_ip: str, port: int = names.NODE_PORT) -> NodeCache | None:
    """What the agent at ``pod_ip`` tells now; None when it gives no usable answer in time."""
    return parse(await pods.ask(pod_ip, port, PATH, size_limit_bytes=SIZE_LIMIT_BYTES, time_limit_s=TIME_LIMIT_S))


def _node_cache(told: Any) -> NodeCache:
    """Raises ValueError, TypeError or KeyError for anything that is not of the form."""
    held: dict[str, set[str]] = {}
    for namespace in _list(told["namespaces"]):
        # Two parts have one name where a namespace was deleted and made anew, until the former one is cleared.
        held.setdefault(_text(namespace["name"]), set()).update(map(_digest, _list(namespace["entries"])))
    if not isinstance(told["path_missing"], bool):
        raise TypeError("path_missing")
    return NodeCache(
        node=_text(told["node"]),
        path_missing=told["path_missing"],
        held={name: frozenset(digests) for name, digests in held.items()},
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _digest(entry: Any) -> str:
    digest = _text(entry["digest"])
    if not _DIGEST.fullmatch(digest):
        raise ValueError("no digest")
    return digest
