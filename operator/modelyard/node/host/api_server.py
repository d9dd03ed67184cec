"""The API server, as the agent's service account sees it."""

import json
from pathlib import Path
from typing import Any, Protocol

import urllib3

CALL_TIMEOUT_S = 10.0
BODY_LIMIT_BYTES = 8 << 20
"""A longer answer is cut, so it is invalid JSON and rejected. A node's pods have 1 MiB of metadata."""

_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Object = dict[str, Any]


class UnreachableError(Exception):
    """No answer that can be relied on: nothing may be concluded from it. ``status``: its HTTP status, None for none."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Api(Protocol):
    """The requests that the agent makes to an API server."""

    def get(self, path: str) -> Object | None:
        """The object at ``path``, None for 404. Raises UnreachableError for every other answer and for none."""

    def list_metadata(self, path: str, **query: str) -> list[Object]:
        """The metadata of each object of a list. Raises UnreachableError for every other answer and for none."""

    def patch(self, path: str, operations: list[Object]) -> bool:
        """Applies a JSON patch; False if one of its tests fails. Raises UnreachableError for every other answer."""


class ApiServer(Api):
    """Calls of one API server. The token is read for each call, since the kubelet renews it."""

    def __init__(self, url: str, service_account_folder: Path) -> None:
        self._url = url
        self._folder = service_account_folder
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=4,
            ca_certs=str(service_account_folder / "ca.crt"),
            timeout=CALL_TIMEOUT_S,
            retries=False,
        )

    def get(self, path: str) -> Object | None:
        """Implements Api; 404 counts only if it is the API server's own."""
        status, body = self._call("GET", path)
        if status == 404 and body.get("reason") == "NotFound":
            return None
        if status != 200:
            raise UnreachableError(f"GET {path}: {_words(status, body)}", status)
        return body

    def list_metadata(self, path: str, **query: str) -> list[Object]:
        """Implements Api."""
        status, body = self._call("GET", path, query=query, accept=_METADATA)
        if status != 200 or not isinstance(body.get("items"), list):
            raise UnreachableError(f"GET {path}: {_words(status, body)}", status)
        return [item["metadata"] for item in body["items"]]

    def patch(self, path: str, operations: list[Object]) -> bool:
        """Implements Api."""
        status, body = self._call("PATCH", path, operations)
        if status in (409, 422):
            return False
        if status != 200:
            raise UnreachableError(f"PATCH {path}: {_words(status, body)}", status)
        return True

    def _call(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        query: dict[str, str] | None = None,
        accept: str = "application/json",
    ) -> tuple[int, Object]:
        try:
            token = (self._folder / "token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}", "Accept": accept}
            if content is not None:
                headers["Content-Type"] = "application/json-patch+json"
            reply = self._pool.request(
                method,
                self._url + path,
                fields=query,
                body=None if content is None else json.dumps(content).encode(),
                headers=headers,
                preload_content=False,
            )
            with reply:
                return reply.status, _object(reply.read(BODY_LIMIT_BYTES))
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise UnreachableError(f"{method} {path}: {error}") from error


def _object(text: bytes) -> Object:
    """The body as an object; {} for anything else, such as a proxy's words."""
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _words(status: int, body: Object) -> str:
    return f"{status} {body.get('message', '')}"
