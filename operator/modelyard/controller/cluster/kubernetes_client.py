"""The Cluster on the ``kubernetes`` package.

Every call has a time limit, is counted, and ends in an object or in an ApiError: nothing of the client library gets out
of here.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import OpenApiException
from kubernetes.aio.config import ConfigException

from modelyard import __version__
from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.scope import WHOLE_CLUSTER, Scope
from modelyard.api.service import Key, Object, key_of
from modelyard.contract import names
from modelyard.controller.cluster.fence import Fence
from modelyard.controller.cluster.protocol import (
    ApiError,
    ConflictError,
    ForbiddenError,
    Listed,
    NotFoundError,
    NotLeadingError,
    RejectedError,
    UnreachableError,
)

CALL_TIMEOUT_S = 10.0
"""Longest time of one call. A healthy API server answers within one second (Kubernetes' own objective)."""

LIST_TIMEOUT_S = 60.0
"""Longest time of one page of a LIST; the API server itself gives up after 60 s."""

LONGEST_RETRY_AFTER_S = 60.0
"""Upper bound of an error's retry_after_s. The API server's own flow control requests a second or a few more."""

PAGE_SIZE = 500
"""Objects per page of a LIST; what client-go uses."""

APPLY = "application/apply-patch+yaml; charset=utf-8"
"""With a charset the client library sends a text as it is; without one it would write it as JSON."""

MERGE = "application/merge-patch+json"


ERRORS: dict[int, type[ApiError]] = {
    400: RejectedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: RejectedError,
}


def _path(kind: Kind, place: Key, subresource: str = "") -> str:
    """Path of an object or a collection. A collection has no name, and no namespace where it spans all of them."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    namespace = f"/namespaces/{place.namespace}" if place.namespace else ""
    return "/".join(filter(None, [f"{root}{namespace}/{kind.plural}", place.name, subresource]))


@dataclass(frozen=True)
class Request:
    """One call. Query parameters that are empty are not sent."""

    method: str
    path: str
    body: Object | str | None = None
    content: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = CALL_TIMEOUT_S


def _applying(kind: Kind, place: Key, body: Object, subresource: str = "") -> Request:
    query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
    return Request("PATCH", _path(kind, place, subresource), yaml_of(body), APPLY, query)


def yaml_of(body: Object) -> str:
    """``body`` as JSON that is also YAML, as the API server reads an apply.

    YAML has no escaped surrogate pairs, which ASCII JSON uses for an emoji, and takes some characters only escaped.
    """
    text = json.dumps(body, ensure_ascii=False)
    return _ESCAPED_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_ESCAPED_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


class KubernetesCluster:
    """Cluster on the ``kubernetes`` package; close() when done.

    ``count(verb, outcome)`` is called after each call. No write begins or continues when ``fence`` forbids it, and none
    is outside of ``scope``. ``instance`` names this process in audit logs.
    """

    def __init__(
        self,
        configuration: Configuration,
        count: Callable[[str, str], None],
        *,
        fence: Fence,
        scope: Scope = WHOLE_CLUSTER,
        instance: str = "",
    ) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = f"{names.APPLICATION}/{__version__} {instance}".strip()
        self._count = count
        self._fence = fence
        self._scope = scope

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def apply(self, body: Object) -> Object:
        """As Cluster.apply."""
        return await self._write("apply", _applying(kinds.of(body), key_of(body), body))

    async def overwrite(self, body: Object) -> Object:
        """As Cluster.overwrite: a merge patch, whose lists are whole, and then the apply."""
        path = _path(kinds.of(body), key_of(body))
        await self._write("overwrite", Request("PATCH", path, body, MERGE, {"fieldManager": names.FIELD_MANAGER}))
        return await self.apply(body)

    async def annotate(self, kind: Kind, place: Key, uid: str, annotations: Mapping[str, str]) -> Object:
        """As Cluster.annotate: a merge patch, since an apply would drop what our other applies hold."""
        body = {"metadata": {"uid": uid, "annotations": dict(annotations)}}
        return await self._write("annotate", Request("PATCH", _path(kind, place), body, MERGE))

    async def label(self, kind: Kind, place: Key, uid: str, labels: Mapping[str, str | None]) -> Object:
        """As Cluster.label: a merge patch, which removes what is null."""
        body = {"metadata": {"uid": uid, "labels": dict(labels)}}
        return await self._write("label", Request("PATCH", _path(kind, place), body, MERGE))

    async def scale(self, body: Object, replicas: int) -> None:
        """As Cluster.scale: a merge patch, which needs no other field of the Scale. A Scale ignores a uid."""
        version = {"resourceVersion": body["metadata"]["resourceVersion"]}
        path = _path(kinds.of(body), key_of(body), "scale")
        query = {"fieldManager": names.SCALING_FIELD_MANAGER}
        patch = {"metadata": version, "spec": {"replicas": replicas}}
        await self._write("scale", Request("PATCH", path, patch, MERGE, query))

    async def get(self, kind: Kind, place: Key) -> Object | None:
        """As Cluster.get."""
        try:
            return await self._call("get", Request("GET", _path(kind, place)))
        except NotFoundError:
            return None

    async def delete(self, kind: Kind, place: Key, uid: str, resource_version: str) -> None:
        """As Cluster.delete; an object that is gone already is deleted."""
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options = {"preconditions": preconditions, "propagationPolicy": "Background"}
        try:
            await self._write("delete", Request("DELETE", _path(kind, place), options))
        except NotFoundError:
            return

    async def list(self, kind: Kind, selector: str = "") -> Listed:
        """As Cluster.list; of several namespaces, the world is as old as the first LIST saw it."""
        lists = [await self._list(path, kind, selector) for path in self._collections(kind)]
        items = tuple(item for found in lists for item in found.items)
        return Listed(items, min((found.resource_version for found in lists), key=int))

    async def _list(self, path: str, kind: Kind, selector: str) -> Listed:
        """One collection, page by page from one and the same version of the world."""
        items: list[Object] = []
        resource_version = ""
        async for page in self._pages(path, {"labelSelector": selector}):
            # The API server leaves these two out of the items of a list of a built-in kind.
            items += [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page["items"] or ()]
            resource_version = page["metadata"]["resourceVersion"]
        return Listed(tuple(items), resource_version)

    async def pages(self, kind: Kind, field_selector: str) -> AsyncIterator[tuple[Object, ...]]:
        """As Cluster.pages."""
        for path in self._collections(kind):
            async for page in self._pages(path, {"fieldSelector": field_selector}):
                yield tuple(page["items"] or ())

    async def _pages(self, path: str, chosen: Mapping[str, str]) -> AsyncIterator[Object]:
        query = {"limit": str(PAGE_SIZE), **chosen}
        while True:
            page = await self._call("list", Request("GET", path, query=query, timeout_s=LIST_TIMEOUT_S))
            yield page
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return

    def _collections(self, kind: Kind) -> tuple[str, ...]:
        return tuple(_path(kind, Key(namespace, "")) for namespace in self._scope.places(kind))

    async def patch_status(self, body: Object, status: Object) -> Object:
        """As Cluster.patch_status.

        Server-side apply rather than a merge patch: it removes fields that we no longer set without naming them, and
        leaves other writers' conditions alone. The version, not the uid, ties it to this object: a status write
        ignores a uid.
        """
        identity = {name: body["metadata"][name] for name in ("name", "namespace", "resourceVersion")}
        applied = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": identity, "status": status}
        return await self._write("patch_status", _applying(kinds.of(body), key_of(body), applied, "status"))

    async def create_event(self, event: Object) -> None:
        """As Cluster.create_event."""
        await self._write("create", Request("POST", _path(kinds.EVENT, Key(event["metadata"]["namespace"], "")), event))

    async def list_events(self, namespace: str, field_selector: str) -> tuple[Object, ...]:
        """As Cluster.list_events; at most one page, the API server keeps them for an hour only."""
        query = {"fieldSelector": field_selector, "limit": str(PAGE_SIZE)}
        page = await self._call("list", Request("GET", _path(kinds.CORE_EVENT, Key(namespace, "")), query=query))
        return tuple(page["items"] or ())

    async def create_lease(self, lease: Object) -> Object:
        """As Cluster.create_lease."""
        place = Key(lease["metadata"]["namespace"], "")
        return await self._call("create_lease", Request("POST", _path(kinds.LEASE, place), lease))

    async def replace_lease(self, lease: Object) -> Object:
        """As Cluster.replace_lease."""
        return await self._call("replace_lease", Request("PUT", _path(kinds.LEASE, key_of(lease)), lease))

    async def may(self, verb: str, kind: Kind, subresource: str = "", place: Key | None = None) -> bool:
        """As Cluster.may; the API server allows this call to every client."""
        places = [place] if place else [Key(namespace, "") for namespace in self._scope.places(kind)]
        return all([await self._may(verb, kind, subresource, place) for place in places])

    async def _may(self, verb: str, kind: Kind, subresource: str, place: Key) -> bool:
        request = {"verb": verb, "group": kind.group, "resource": kind.plural, "subresource": subresource}
        review = {
            "apiVersion": kinds.ACCESS_REVIEW.api_version,
            "kind": kinds.ACCESS_REVIEW.kind,
            "spec": {"resourceAttributes": request | place._asdict()},
        }
        answer = await self._call("may", Request("POST", _path(kinds.ACCESS_REVIEW, Key("", "")), review))
        return bool(answer["status"]["allowed"])

    async def _write(self, verb: str, request: Request) -> Object:
        """The one place through which every change of the cluster goes, the Lease left out.

        Raises NotLeadingError when the time to write is over. What began before ends, here at least, before another
        process may write; the API server may still act on it, and each of our writes may be repeated or come late.
        """
        left_s = self._fence.time_left_s
        if left_s <= 0:
            raise NotLeadingError(0, "NotLeading", "another replica may be writing", call=request.path)
        return await self._call(verb, replace(request, timeout_s=min(request.timeout_s, left_s)))

    async def _call(self, verb: str, request: Request) -> Object:
        outcome = "cancelled"
        try:
            answer = await self._exchange(request)
            outcome = "200"
        except ApiError as error:
            outcome = str(error.status or error.reason)
            raise
        finally:
            self._count(verb, outcome)
        return answer

    async def _exchange(self, request: Request) -> Object:
        call = f"{request.method} {request.path}"
        try:
            serialized = await self._client.param_serialize(
                request.method,
                request.path,
                query_params=[(name, value) for name, value in request.query.items() if value],
                header_params={"Accept": "application/json", "Content-Type": request.content},
                body=request.body,
                auth_settings=["BearerToken"],
            )
            async with asyncio.timeout(request.timeout_s):
                response = await self._client.call_api(*serialized, _request_timeout=aiohttp.ClientTimeout())
                text = await response.read()
        except TimeoutError as error:
            message = f"no answer within {request.timeout_s:g} s"
            raise UnreachableError(0, "Timeout", message, call=call) from error
        except (aiohttp.ClientError, OpenApiException, ConfigException, OSError) as error:
            raise UnreachableError(0, type(error).__name__, str(error), call=call) from error
        return _understood(response.status, text, call, response.headers.get("Retry-After", ""))


def _understood(status: int, text: bytes, call: str, retry_after: str = "") -> Object:
    """The object in a response. Raises the ApiError of a failed one."""
    try:
        answer: Any = json.loads(text)
    except ValueError:
        answer = None
    if not 200 <= status < 300:
        raise _failure(status, answer if isinstance(answer, dict) else {}, text, call, retry_after)
    if not isinstance(answer, dict):
        raise UnreachableError(0, "NotJson", "the answer is no JSON object", call=call)
    return answer


def _failure(status: int, answer: Object, text: bytes, call: str, retry_after: str) -> ApiError:
    """The error in a failed response: a metav1.Status, or the text of a proxy in front of the API server.

    The API server rejects a write to another uid as invalid (422); here it is a conflict like any other.
    """
    message = answer.get("message") or text[:500].decode(errors="replace") or "no message"
    causes = (answer.get("details") or {}).get("causes") or ()
    if any(cause.get("field") == "metadata.uid" for cause in causes):
        return ConflictError(409, "Conflict", str(message), call=call)
    return ERRORS.get(status, ApiError)(
        status,
        str(answer.get("reason") or f"Status{status}"),
        str(message),
        causes=frozenset(str(cause.get(about)) for cause in causes for about in ("reason", "field")),
        # Seconds, as the API server writes it; the date that HTTP allows as well is no number.
        retry_after_s=min(float(retry_after), LONGEST_RETRY_AFTER_S) if retry_after.isdecimal() else 0,
        call=call,
    )
