"""One user's plain requests to an API server: objects are dicts as the server sends them, refusals are RefusedError."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from modelyard.api.kinds import Kind

Object = dict[str, Any]

NAMESPACE = Kind("", "v1", "namespaces", "Namespace")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
"""What kubectl requests when it prints columns."""

STRICT = {"fieldValidation": "Strict"}
"""Unknown fields are refused, as kubectl requests by default."""


class RefusedError(Exception):
    """The API server answered with an error: its HTTP ``code``, its ``message``, and what it blames field by field."""

    def __init__(self, code: int, status: Object) -> None:
        super().__init__(f"{code}: {status.get('message')}")
        self.code = code
        self.message: str = status.get("message", "")
        self.causes: list[Object] = (status.get("details") or {}).get("causes", [])


def resource_path(kind: Kind, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
    """The URL path of a collection, an object, or a subresource (``status``, ``scale``)."""
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    parts = [root, *(["namespaces", namespace] if namespace else []), kind.plural, name, subresource]
    return "/".join(part for part in parts if part)


def refusal(error: urllib.error.HTTPError) -> RefusedError:
    """The message of an HTTP error; a body that is no Status object becomes its message."""
    with error:
        text = error.read().decode()
    return RefusedError(error.code, json.loads(text) if text.startswith("{") else {"message": text})


@dataclass(frozen=True)
class Client:
    """Acts as the user whom ``token`` stands for. Every method raises RefusedError when the server refuses.

    ``query`` goes into the URL: ``dryRun="All"``, ``fieldValidation="Ignore"`` instead of Strict, and the like.
    """

    url: str
    token: str
    trust: ssl.SSLContext

    @property
    def opener(self) -> urllib.request.OpenerDirector:
        """Opens this server's URLs, past any proxy that the environment names."""
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.trust)
        )

    def request(
        self,
        method: str,
        path: str,
        body: Object | list[Object] | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Object:
        """What the server answers to one request."""
        request = urllib.request.Request(
            f"{self.url}{path}?{urlencode(query)}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type, "Accept": accept},
        )
        try:
            with self.opener.open(request, timeout=30) as reply:
                answer: Object = json.load(reply)
        except urllib.error.HTTPError as error:
            raise refusal(error) from error
        return answer

    def get(self, kind: Kind, name: str, namespace: str | None = None, subresource: str = "") -> Object:
        """One object, or one of its subresources."""
        return self.request("GET", resource_path(kind, namespace, name, subresource))

    def list(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """All objects of a kind, in one namespace or in all."""
        items: list[Object] = self.request("GET", resource_path(kind, namespace))["items"]
        return items

    def create(self, kind: Kind, body: Object, **query: str) -> Object:
        """A new object, in the namespace that ``body`` names; apiVersion and kind are added."""
        path = resource_path(kind, body["metadata"].get("namespace"))
        return self.request("POST", path, typed(kind, body), **STRICT | query)

    def replace(self, kind: Kind, body: Object, subresource: str = "", **query: str) -> Object:
        """``body`` written whole in place of what is there (PUT), or one of its subresources."""
        metadata = body["metadata"]
        path = resource_path(kind, metadata.get("namespace"), metadata["name"], subresource)
        return self.request("PUT", path, body, **STRICT | query)

    def apply(self, kind: Kind, body: Object, field_manager: str, **query: str) -> Object:
        """A forced server-side apply; apiVersion and kind are added."""
        path = resource_path(kind, body["metadata"].get("namespace"), body["metadata"]["name"])
        parameters = {"fieldManager": field_manager, "force": "true"} | STRICT | query
        return self.request("PATCH", path, typed(kind, body), content_type="application/apply-patch+yaml", **parameters)

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """Request an object's deletion."""
        return self.request("DELETE", resource_path(kind, namespace, name))


def typed(kind: Kind, body: Object) -> Object:
    """``body`` with its apiVersion and kind."""
    return {"apiVersion": kind.api_version, "kind": kind.kind} | body
