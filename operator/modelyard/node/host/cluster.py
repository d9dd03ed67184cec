"""The agent's calls to the API server: namespaces by name and UID, its node's pods, removal of its start-up taint."""

import logging

from modelyard.contract import names
from modelyard.node.host.api_server import Api, Object, UnreachableError

MIRROR_ANNOTATION = "kubernetes.io/config.hash"
"""On the mirror of a static pod: the kubelet's UID for it, which is not the mirror's."""

_log = logging.getLogger("modelyard.node")


class NoNamespaceError(Exception):
    """The API server has no namespace of that name."""


class Namespaces:
    """Namespaces as they are now: a name can be reused within a second, so each call queries the API server.

    A folder of the cache belongs to a UID, so that a reused name inherits nothing. Methods raise UnreachableError.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def uid(self, name: str) -> str:
        """The UID of the namespace that has this name now. Raises NoNamespaceError."""
        uid = self._ask(name)
        if uid is None:
            raise NoNamespaceError(f"there is no namespace {name!r}")
        return uid

    def is_gone(self, name: str, uid: str) -> bool:
        """Whether no namespace of this name has this UID."""
        return self._ask(name) != uid

    def _ask(self, name: str) -> str | None:
        found = self._api.get(f"/api/v1/namespaces/{name}")
        return None if found is None else str(found["metadata"]["uid"])


class OwnNode:
    """One node, by its name."""

    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._name = name

    def pods(self) -> frozenset[str]:
        """The kubelet's UIDs of the pods that are bound to the node. Raises UnreachableError."""
        listed = self._api.list_metadata("/api/v1/pods", fieldSelector=f"spec.nodeName={self._name}")
        return frozenset(uid for metadata in listed for uid in _uids(metadata))

    def remove_starting_taint(self) -> None:
        """Removes TAINT_CACHE_STARTING, so that pods may come. Raises UnreachableError: try again."""
        path = f"/api/v1/nodes/{self._name}"
        node = self._api.get(path)
        operations = taint_removal(node or {})
        if operations and not self._api.patch(path, operations):
            raise UnreachableError("the node's taints changed meanwhile")
        if operations:
            _log.info("removed the taint %s", names.TAINT_CACHE_STARTING)


def taint_removal(node: Object) -> list[Object]:
    """The JSON patch that removes the taint and nothing else: it fails if the taints are no longer as in ``node``."""
    taints = (node.get("spec") or {}).get("taints") or []
    kept = [taint for taint in taints if taint["key"] != names.TAINT_CACHE_STARTING]
    if len(kept) == len(taints):
        return []
    return [
        {"op": "test", "path": "/spec/taints", "value": taints},
        {"op": "replace", "path": "/spec/taints", "value": kept},
    ]


def _uids(metadata: Object) -> list[str]:
    static = (metadata.get("annotations") or {}).get(MIRROR_ANNOTATION)
    return [metadata["uid"], *([static] if static else [])]
