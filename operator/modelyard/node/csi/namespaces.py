"""Namespaces by name and UID. A part of the cache belongs to a UID, so that a name used again inherits nothing.

The API server is asked each time, which is once for each pod: a name can be used again within a second.
"""

from modelyard.node.host.api_server import Api


class NoNamespaceError(Exception):
    """The API server has no namespace of that name."""


class Namespaces:
    """What the API server says of namespaces. Methods raise UnreachableError."""

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
