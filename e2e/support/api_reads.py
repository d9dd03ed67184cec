"""Reads of the API server as kubectl does them, without a process for each: scenarios look thousands of times, and a
kubectl takes a tenth of a second of a CPU.
"""

import http.client
import json
import ssl
import tempfile
import threading
from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from e2e.cluster.kind_cluster import CONTEXT, KUBECONFIG

Object = dict[str, Any]

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TIMEOUT_S = 60


class ReadError(Exception):
    """The API server's message. ``is_missing``: what was read is not there."""

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


@dataclass(frozen=True)
class Resource:
    """Where the objects of a kind are: ``root`` is the path of its version."""

    root: str
    plural: str
    is_namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        """Of the collection, in all namespaces where ``namespace`` is empty, or of one object."""
        place = [self.root, *(["namespaces", namespace] if self.is_namespaced and namespace else []), self.plural]
        return "/".join([*place, name] if name else place)


class Reader:
    """As the local cluster's administrator. Each thread keeps a connection."""

    def __init__(self) -> None:
        config = yaml.safe_load(KUBECONFIG.read_text())
        cluster = _named(config, "cluster", _named(config, "context", CONTEXT)["cluster"])
        user = _named(config, "user", _named(config, "context", CONTEXT)["user"])
        self._address = urlsplit(cluster["server"]).netloc
        self._trust = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as file:  # the ssl module reads certificates from files only
            for part in ("client-certificate-data", "client-key-data"):
                file.write(b64decode(user[part]) + b"\n")
            file.flush()
            self._trust.load_cert_chain(file.name)
        self._of_thread = threading.local()
        self._resources: dict[str, Resource] = {}

    def get(self, kind: str, namespace: str, name: str = "", selector: str = "") -> Object:
        """One object, or the list of those that the selector matches. Raises ReadError."""
        path = self.resource(kind).path(namespace, name)
        found = self._json(f"{path}?{urlencode({'labelSelector': selector})}" if selector else path)
        if "items" in found:  # of which the server leaves out what all have in common
            common = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
            found["items"] = [common | item for item in found["items"]]
        return found

    def resource(self, kind: str) -> Resource:
        """Of a name that kubectl takes: plural, singular, short, or with its group. Raises ReadError."""
        kind = kind.lower()
        if kind not in self._resources:
            self._resources = self._discovered()  # its CRD may have come since
        if kind not in self._resources:
            raise ReadError(f'the server doesn\'t have a resource type "{kind}"', is_missing=True)
        return self._resources[kind]

    def _discovered(self) -> dict[str, Resource]:
        found: dict[str, Resource] = {}
        for start in ("/api", "/apis"):
            for group in self._json(start, DISCOVERY)["items"]:
                name = group.get("metadata", {}).get("name", "")
                version = group["versions"][0]
                root = f"{start}/{name}/{version['version']}" if name else f"{start}/{version['version']}"
                for each in version.get("resources", []):
                    resource = Resource(root, each["resource"], each["scope"] == "Namespaced")
                    aliases = [each["resource"], each.get("singularResource", ""), *each.get("shortNames", [])]
                    for alias in filter(None, [*aliases, f"{each['resource']}.{name}"]):
                        found.setdefault(alias, resource)
        return found

    def _json(self, path: str, accept: str = "application/json") -> Object:
        status, body = self._body(path, accept)
        try:
            answer: Object = json.loads(body)
        except ValueError:
            answer = {"message": body.decode(errors="replace")}
        if status != http.HTTPStatus.OK:
            raise ReadError(str(answer.get("message")), is_missing=status == http.HTTPStatus.NOT_FOUND)
        return answer

    def _body(self, path: str, accept: str) -> tuple[int, bytes]:
        kept: http.client.HTTPSConnection | None = getattr(self._of_thread, "connection", None)
        for connection in filter(None, [kept, self._new()]):  # one that was kept may have been closed
            try:
                connection.request("GET", path, headers={"Accept": accept})
                reply = connection.getresponse()
                body = reply.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                failure = error
            else:
                self._of_thread.connection = connection
                return reply.status, body
        self._of_thread.connection = None
        raise ReadError(f"Unable to connect to the server: {failure!r}")

    def _new(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, context=self._trust, timeout=TIMEOUT_S)


@cache
def reader() -> Reader:
    """The one of this process."""
    return Reader()


def _named(config: Object, what: str, name: str) -> Object:
    """The cluster, context or user of that name in a kubeconfig."""
    found: Object = next(each[what] for each in config[f"{what}s"] if each["name"] == name)
    return found
