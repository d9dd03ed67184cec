"""An API server in memory, for tests of what the operator does rather than of how it talks.

Stores objects with versions, generations and uids; applies as server-side apply does (fields that the last apply had
and this one has not are dropped, what others wrote stays; lists are one value); checks preconditions. Keeps a record of
calls, and fails, hangs or loses answers when a test orders it.
"""

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object, key_of
from modelyard.contract import names
from modelyard.controller.cluster.protocol import ApiError, ConflictError, Listed, NotFoundError

T = TypeVar("T")

WRITES = frozenset({"apply", "overwrite", "delete", "annotate", "label", "scale", "patch_status", "create_event"})


class Call(NamedTuple):
    """One call, in the order in which they came."""

    verb: str
    kind: Kind
    place: Key


class CrashError(BaseException):
    """The process dies here. Nothing that handles errors may catch it."""


@dataclass
class Fault:
    """What happens to the next call that fits. With ``after``, the call does its work and only its answer is lost."""

    verb: str
    error: BaseException | None
    kind: Kind | None
    after: bool
    lasting: bool = False

    def fits(self, call: Call) -> bool:
        return call.verb == self.verb and self.kind in (None, call.kind)


class InMemoryCluster:
    """Implements Cluster. ``on_change(type, kind, body)`` is called for each change, as a watch would deliver it.

    ``lacks`` are the kinds that it does not have: at first KEDA's.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.events: list[Object] = []
        self.core_events: dict[str, tuple[Object, ...]] = {}
        self.lacks: set[Kind] = {kinds.SCALED_OBJECT}
        self.on_change: Callable[[str, Kind, Object], None] = lambda *_: None
        self._objects: dict[tuple[Kind, Key], Object] = {}
        self._applied: dict[tuple[Kind, Key], Object] = {}
        self._versions = itertools.count(100)
        self._uids = itertools.count(1)
        self._faults: list[Fault] = []
        self._crash_at: int | None = None

    # What tests do

    def put(self, body: Object) -> Object:
        """Create or replace an object, as another writer would. Returns it as stored."""
        place = (_kind_of(body), place_of(body))
        return self._store(*place, copy.deepcopy(body))

    def edit(self, kind: Kind, place: Key, change: Callable[[Object], None]) -> None:
        """Change an object by hand."""
        body = copy.deepcopy(self._objects[kind, place])
        change(body)
        self._store(kind, place, body)

    def remove(self, kind: Kind, place: Key) -> None:
        """Delete an object by hand; what it owned goes too, as the garbage collector sees to it."""
        body = self._objects.pop((kind, place))
        self._applied.pop((kind, place), None)
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        self.on_change("DELETED", kind, copy.deepcopy(body))
        for (owned_kind, owned_place), owned in list(self._objects.items()):
            owners = [owner["uid"] for owner in owned["metadata"].get("ownerReferences") or ()]
            if body["metadata"]["uid"] in owners:
                self.remove(owned_kind, owned_place)

    def see(self, kind: Kind, place: Key) -> Object | None:
        """An object as it is now, unrecorded."""
        return copy.deepcopy(self._objects.get((kind, place)))

    def see_all(self, kind: Kind) -> list[Object]:
        """All objects of a kind as they are now, unrecorded."""
        return [copy.deepcopy(body) for (stored, _), body in sorted(self._objects.items()) if stored == kind]

    def fail_next(self, verb: str, error: BaseException, kind: Kind | None = None, *, after: bool = False) -> None:
        """Let the next call of ``verb`` (on ``kind``) end in ``error``."""
        self._faults.append(Fault(verb, error, kind, after))

    def fail_until_healed(self, verb: str, error: BaseException, kind: Kind | None = None) -> None:
        """Let every call of ``verb`` (on ``kind``) end in ``error`` until heal()."""
        self._faults.append(Fault(verb, error, kind, after=False, lasting=True))

    def heal(self) -> None:
        """Let all calls succeed again."""
        self._faults.clear()

    def hang_next(self, verb: str, kind: Kind | None = None) -> None:
        """Let the next call of ``verb`` never answer."""
        self._faults.append(Fault(verb, None, kind, after=False))

    def crash_at(self, call: int) -> None:
        """Let the process die at the ``call``-th call from now, the first being 0: half of the times after its work."""
        self._crash_at = len(self.calls) + call

    def revive(self) -> None:
        """The process is started anew."""
        self._crash_at = None

    @property
    def writes(self) -> list[Call]:
        """The calls that change something."""
        return [call for call in self.calls if call.verb in WRITES]

    # Cluster

    async def apply(self, body: Object) -> Object:
        kind, place = kinds.of(body), key_of(body)
        return await self._call("apply", kind, place, lambda: self._apply(kind, place, body))

    async def overwrite(self, body: Object) -> Object:
        kind, place = kinds.of(body), key_of(body)
        return await self._call("overwrite", kind, place, lambda: self._apply(kind, place, body))

    async def annotate(self, kind: Kind, place: Key, uid: str, annotations: Mapping[str, str]) -> Object:
        return await self._call("annotate", kind, place, lambda: self._annotate(kind, place, uid, annotations))

    async def label(self, kind: Kind, place: Key, uid: str, labels: Mapping[str, str | None]) -> Object:
        return await self._call("label", kind, place, lambda: self._annotate(kind, place, uid, labels, "labels"))

    async def scale(self, body: Object, replicas: int) -> None:
        kind, place = kinds.of(body), key_of(body)
        await self._call("scale", kind, place, lambda: self._scale(kind, place, body, replicas))

    async def get(self, kind: Kind, place: Key) -> Object | None:
        return await self._call("get", kind, place, lambda: self.see(kind, place))

    async def delete(self, kind: Kind, place: Key, uid: str, resource_version: str) -> None:
        await self._call("delete", kind, place, lambda: self._delete(kind, place, uid, resource_version))

    async def list(self, kind: Kind, selector: str = "") -> Listed:
        return await self._call("list", kind, Key("", ""), lambda: self._list(kind, selector))

    async def pages(self, kind: Kind, field_selector: str) -> AsyncIterator[tuple[Object, ...]]:
        yield await self._call("pages", kind, Key("", field_selector), lambda: tuple(self.see_all(kind)))

    async def patch_status(self, body: Object, status: Object) -> Object:
        kind, place = kinds.of(body), key_of(body)
        return await self._call("patch_status", kind, place, lambda: self._patch_status(kind, place, body, status))

    async def create_event(self, event: Object) -> None:
        regarding = event["regarding"]
        place = Key(regarding["namespace"], regarding["name"])
        await self._call("create_event", kinds.EVENT, place, lambda: self.events.append(event))

    async def list_events(self, namespace: str, field_selector: str) -> tuple[Object, ...]:
        place = Key(namespace, field_selector)
        return await self._call(
            "list_events", kinds.CORE_EVENT, place, lambda: self.core_events.get(field_selector, ())
        )

    async def create_lease(self, lease: Object) -> Object:
        kind, place = kinds.LEASE, key_of(lease)
        return await self._call("create_lease", kind, place, lambda: self._create(kind, place, lease))

    async def replace_lease(self, lease: Object) -> Object:
        kind, place = kinds.LEASE, key_of(lease)
        return await self._call("replace_lease", kind, place, lambda: self._replace(kind, place, lease))

    async def may(self, verb: str, kind: Kind, subresource: str = "", place: Key | None = None) -> bool:
        return await self._call("may", kind, place or Key("", f"{verb}/{subresource}"), lambda: True)

    # How it does that

    async def _call(self, verb: str, kind: Kind, place: Key, work: Callable[[], T]) -> T:
        call = Call(verb, kind, place)
        number = len(self.calls)
        self.calls.append(call)
        await asyncio.sleep(0)
        fault = next((fault for fault in self._faults if fault.fits(call)), None)
        if self._crash_at is not None and number >= self._crash_at:
            fault = Fault(verb, CrashError(), kind, after=number == self._crash_at and number % 2 == 0)
        elif fault is not None and not fault.lasting:
            self._faults.remove(fault)
        if kind in self.lacks and verb not in {"get", "may"}:
            raise NotFoundError(404, "NotFound", "the server could not find the requested resource")
        if fault is None:
            return work()
        if fault.error is None:
            await asyncio.Event().wait()
        if fault.after:
            work()
        assert fault.error is not None
        raise fault.error

    def _store(self, kind: Kind, place: Key, body: Object) -> Object:
        before = self._objects.get((kind, place))
        metadata = body["metadata"]
        if before is None:
            metadata.setdefault("uid", f"uid-{next(self._uids)}")
            metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
            metadata["generation"] = 1
        else:
            metadata["uid"] = before["metadata"]["uid"]
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
            metadata["generation"] = before["metadata"]["generation"] + (before.get("spec") != body.get("spec"))
            if before == body:
                return copy.deepcopy(body)
        metadata["resourceVersion"] = str(next(self._versions))
        self._objects[kind, place] = body
        self.on_change("ADDED" if before is None else "MODIFIED", kind, copy.deepcopy(body))
        return copy.deepcopy(body)

    def _apply(self, kind: Kind, place: Key, body: Object) -> Object:
        before = self._objects.get((kind, place))
        expected_uid = body["metadata"].get("uid")
        if expected_uid and (before is None or before["metadata"]["uid"] != expected_uid):
            raise ConflictError(409, "Conflict", "the object of this uid is gone")
        merged = copy.deepcopy(before) if before else {"metadata": {}}
        _drop(merged, self._applied.get((kind, place), {}), body)
        _merge(merged, copy.deepcopy(body))
        self._applied[kind, place] = copy.deepcopy(body)
        return self._store(kind, place, merged)

    def _annotate(
        self, kind: Kind, place: Key, uid: str, changed: Mapping[str, str | None], field: str = "annotations"
    ) -> Object:
        body = copy.deepcopy(self._objects.get((kind, place)))
        if body is None:
            raise NotFoundError(404, "NotFound", "gone")
        if body["metadata"]["uid"] != uid:
            raise ConflictError(409, "Conflict", "another uid")
        merged = (body["metadata"].get(field) or {}) | dict(changed)
        body["metadata"][field] = {key: value for key, value in merged.items() if value is not None}
        return self._store(kind, place, body)

    def _scale(self, kind: Kind, place: Key, seen: Object, replicas: int) -> None:
        body = copy.deepcopy(self._objects.get((kind, place)))
        if body is None:
            raise NotFoundError(404, "NotFound", "gone")
        if body["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "another version")
        body["spec"]["replicas"] = replicas
        _owns_replicas(body, names.SCALING_FIELD_MANAGER)
        self._store(kind, place, body)

    def _create(self, kind: Kind, place: Key, body: Object) -> Object:
        if (kind, place) in self._objects:
            raise ConflictError(409, "AlreadyExists", "there is one of that name")
        return self._store(kind, place, copy.deepcopy(body))

    def _replace(self, kind: Kind, place: Key, body: Object) -> Object:
        before = self._objects.get((kind, place))
        if before is None or before["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "another version")
        return self._store(kind, place, copy.deepcopy(body))

    def _delete(self, kind: Kind, place: Key, uid: str, resource_version: str) -> None:
        body = self._objects.get((kind, place))
        if body is None:
            return
        if (body["metadata"]["uid"], body["metadata"]["resourceVersion"]) != (uid, resource_version):
            raise ConflictError(409, "Conflict", "the preconditions do not hold")
        self.remove(kind, place)

    def _list(self, kind: Kind, selector: str) -> Listed:
        items = tuple(body for body in self.see_all(kind) if matches(body, selector))
        return Listed(items, str(next(self._versions)))

    def _patch_status(self, kind: Kind, place: Key, body: Object, status: Object) -> Object:
        before = self._objects.get((kind, place))
        if before is None:
            raise NotFoundError(404, "NotFound", "gone")
        if before["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "another version")
        return self._store(kind, place, {**copy.deepcopy(before), "status": copy.deepcopy(status)})


def unavailable() -> ApiError:
    """What an API server in trouble answers."""
    return ApiError(503, "ServiceUnavailable", "try again")


def matches(body: Object, selector: str) -> bool:
    """Whether the label selector, empty or of the form key or key=value, chooses ``body``."""
    key, equals, value = selector.partition("=")
    labels = body["metadata"].get("labels") or {}
    return not selector or (labels.get(key) == value if equals else key in labels)


def place_of(body: Object) -> Key:
    """Namespace and name; the namespace of what has none is empty."""
    return Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])


def _owns_replicas(body: Object, manager: str) -> None:
    """Make ``manager`` the one that wrote spec.replicas last, as managedFields have it."""
    field: Object = {"f:spec": {"f:replicas": {}}}
    body["metadata"]["managedFields"] = [{"manager": manager, "operation": "Update", "fieldsV1": field}]


def _kind_of(body: Object) -> Kind:
    known = (*kinds.WATCHED, kinds.CSI_NODE, kinds.EVENT)
    return next(kind for kind in known if (kind.api_version, kind.kind) == (body["apiVersion"], body["kind"]))


def _drop(merged: Object, applied: Object, body: Object) -> None:
    """Remove what the last apply had and ``body`` has not."""
    for name, value in applied.items():
        if name not in body:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(body[name], dict) and isinstance(merged.get(name), dict):
            _drop(merged[name], value, body[name])


def _merge(merged: Object, body: Object) -> None:
    for name, value in body.items():
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            _merge(merged[name], value)
        else:
            merged[name] = value
