"""The node agent's report on its node's cache: `GET /cache` of modelyard-node.

The agent is ours, but the folders that it reports belong to tenants. A page that departs from this form is rejected
whole: a part of it would pass for the complete report.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from modelyard.contract.digests import DIGEST

PATH = "/cache"

SIZE_LIMIT_BYTES = 4 << 20
"""Longest page that is read, headers included: some 20,000 entries."""

ENTRIES_LIMIT = 200
"""Entries that are listed of one namespace, the largest first: a hundred namespaces fit into the page."""


@dataclass(frozen=True)
class Entry:
    """A whole model; ``pins`` are the pods that have it mounted."""

    digest: str
    size_bytes: int
    pins: int


@dataclass(frozen=True)
class Namespace:
    """What one namespace holds. Two share a name after a namespace was deleted and recreated, until the former one is
    cleared; the name is empty if it is unknown.
    """

    name: str
    uid: str
    used_bytes: int
    over_budget: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class CachePage:
    """The cache of one node. ``path_missing``: the node has no folder for it, and the figures are 0."""

    node: str
    path_missing: bool
    budget_bytes: int = 0
    used_bytes: int = 0
    free_bytes: int = 0
    namespaces: tuple[Namespace, ...] = ()

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def parse(text: bytes) -> CachePage:
    """The page in ``text``. Raises ValueError for anything that is not wholly of the form."""
    try:
        fields = json.loads(text)
        return CachePage(
            node=_text(fields["node"]),
            path_missing=_flag(fields["path_missing"]),
            budget_bytes=_count(fields["budget_bytes"]),
            used_bytes=_count(fields["used_bytes"]),
            free_bytes=_count(fields["free_bytes"]),
            namespaces=tuple(map(_namespace, _list(fields["namespaces"]))),
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no page of a cache") from error


def _namespace(fields: Any) -> Namespace:
    return Namespace(
        name=_text(fields["name"]),
        uid=_text(fields["uid"]),
        used_bytes=_count(fields["used_bytes"]),
        over_budget=_flag(fields["over_budget"]),
        entries=tuple(map(_entry, _list(fields["entries"]))),
    )


def _entry(fields: Any) -> Entry:
    digest = _text(fields["digest"])
    if not DIGEST.fullmatch(digest):
        raise ValueError("no digest")
    return Entry(digest, _count(fields["size_bytes"]), _count(fields["pins"]))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _count(value: object) -> int:
    if type(value) is not int:
        raise TypeError("no number")
    return value
