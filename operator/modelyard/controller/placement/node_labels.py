"""Pure: which labels show the scheduler what nodes' caches hold.

A node that holds a service's model has the label names.LABEL_MODEL_DOMAIN/<uid of the service>; pods of the service
prefer such nodes. The key is the service's, so that a pod template never changes with what nodes hold.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelyard.api.service import Object
from modelyard.contract import names

PREFIX = f"{names.LABEL_MODEL_DOMAIN}/"

LABELS_LIMIT = 100
"""Of ours on one node: each of them travels with every change of the node to every watch of nodes."""

DIGITS = 16
"""Of the digest in a label's value, which holds 63 characters."""

Held = Mapping[str, frozenset[str]]
"""Digests of a node's models, by the name of the namespace whose pods brought them."""


@dataclass(frozen=True)
class ServedModel:
    """What a service serves; ``digest`` is None while no pod has reported it."""

    uid: str
    namespace: str
    digest: str | None


@dataclass(frozen=True)
class LabelChange:
    """What to change of a node's labels; None removes one."""

    node: str
    uid: str
    labels: Mapping[str, str | None]


def label_changes(
    nodes: Iterable[Object], models: Iterable[ServedModel], held: Mapping[str, Held | None]
) -> tuple[LabelChange, ...]:
    """How the labels of ``nodes`` differ from what the ``models`` of all services need.

    ``held`` is what each node's cache holds: None while that is not known, so that its labels stay. A node that is
    missing there has no cache, and gets none. A label of a service that is gone, or now serves another content, is
    removed in any case.
    """
    models = tuple(models)
    values = {_key(model.uid): _value(model.digest) for model in models}
    by_content = defaultdict(list)
    for model in models:
        by_content[model.namespace, model.digest].append(_key(model.uid))
    changes = []
    for node in nodes:
        metadata = node["metadata"]
        now = {key: value for key, value in (metadata.get("labels") or {}).items() if key.startswith(PREFIX)}
        there = held.get(metadata["name"], {})
        if there is None:
            wanted = {key: value for key, value in now.items() if key in values and values[key] in {None, value}}
        else:
            keys = (
                key
                for each, digests in there.items()
                for digest in digests
                for key in by_content.get((each, digest), ())
            )
            wanted = {key: str(values[key]) for key in _bounded(keys, now)}
        if differing := {key: wanted.get(key) for key in now | wanted if now.get(key) != wanted.get(key)}:
            changes.append(LabelChange(metadata["name"], metadata["uid"], differing))
    return tuple(changes)


def _key(uid: str) -> str:
    return f"{PREFIX}{uid}"


def _value(digest: str | None) -> str | None:
    return digest.removeprefix("sha256:")[:DIGITS] if digest else None


def _bounded(keys: Iterable[str], now: Mapping[str, str]) -> list[str]:
    """Existing labels first, so that a node with too many keeps the ones that it has."""
    return sorted(keys, key=lambda key: (key not in now, key))[:LABELS_LIMIT]
