"""The last observed state of every object that concerns us.

Fed by watch events, by full LISTs and by the answers to our own writes, in any order: an older version never replaces
a newer one, and what was deleted does not come back. Versions are compared as numbers, which the API server allows
within one kind (KEP-5504). Makes no calls and decides nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from modelyard.api import kinds
from modelyard.api.kinds import Kind
from modelyard.api.service import Key, Object
from modelyard.contract import names
from modelyard.controller.cluster.node_changes import matters

NO_NODE = ""
"""Stands for the node of pods that have none yet."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

K = TypeVar("K")
V = TypeVar("V")


class Child(NamedTuple):
    """An object that belongs to a service."""

    kind: Kind
    body: Object


def slim(body: Object) -> Object:
    """``body`` without the fields that are never read and make up most of its size."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    slimmed = {**body, "metadata": metadata}
    if "images" in (body.get("status") or {}):  # a node lists up to 50 images
        slimmed["status"] = {name: value for name, value in body["status"].items() if name != "images"}
    return slimmed


def version_of(body: Object) -> int:
    """The object's version; 0 where it is no number, so that what comes last counts."""
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


def _place_of(body: Object) -> Key:
    return Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])


def service_keys(kind: Kind, body: Object) -> frozenset[Key]:
    """The services that ``body`` concerns: itself, those that its label and its owner references name, or, for an
    autoscaler, those that it may scale.

    Both count, since a person may have changed either. Empty for what has no namespace.
    """
    if kind == kinds.INFERENCE_SERVICE:
        return frozenset({_place_of(body)})
    if kind in kinds.AUTOSCALERS:
        return _scaled_by(body)
    metadata = body["metadata"]
    if "namespace" not in metadata:
        return frozenset()
    named = {
        reference["name"]
        for reference in metadata.get("ownerReferences") or ()
        if reference.get("kind") == names.KIND and reference.get("apiVersion", "").startswith(f"{names.GROUP}/")
    }
    if label := (metadata.get("labels") or {}).get(names.LABEL_SERVICE):
        named.add(label)
    return frozenset(Key(metadata["namespace"], name) for name in named)


def _matters(kind: Kind, known: Object, body: Object) -> bool:
    """Whether a change may concern a service: a node and an autoscaler write their status all the time."""
    if kind == kinds.NODE:
        return matters(known, body)
    return kind not in kinds.AUTOSCALERS or known.get("spec") != body.get("spec")


def _scaled_by(autoscaler: Object) -> frozenset[Key]:
    """The services whose scale, or whose Deployment, has the name of its target: that is the service's own, or has a
    pool's behind it.
    """
    target = ((autoscaler.get("spec") or {}).get("scaleTargetRef") or {}).get("name") or ""
    words = target.split("-")
    names_ = ("-".join(words[:count]) for count in range(1, len(words) + 1))
    return frozenset(Key(autoscaler["metadata"]["namespace"], name) for name in names_ if name)


class Cache:
    """Last observed services, children, pods, nodes, profiles, namespaces and claims."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Object]] = defaultdict(dict)
        self._concerning: dict[Key, set[tuple[Kind, Key]]] = defaultdict(set)
        self._pods_on: dict[str, set[Key]] = defaultdict(set)
        self._absent: set[Kind] = set()
        self._gone: dict[Kind, dict[str, int]] = defaultdict(dict)
        self._gone_before_resync: dict[Kind, dict[str, int]] = defaultdict(dict)

    @property
    def absent_kinds(self) -> frozenset[Kind]:
        """Optional kinds that the cluster lacks: objects of them can neither be there nor be applied."""
        return frozenset(self._absent)

    def get(self, kind: Kind, place: Key) -> Object | None:
        """The object of that kind, namespace and name."""
        return self._objects[kind].get(place)

    def all_of(self, kind: Kind) -> tuple[Object, ...]:
        """All objects of a kind."""
        return tuple(self._objects[kind].values())

    def children(self, service: Key) -> tuple[Child, ...]:
        """What the label or an owner reference ties to the service, pods left out."""
        return tuple(child for child in self._concerned(service) if child.kind in kinds.OWNED)

    def autoscalers(self, service: Key) -> tuple[Object, ...]:
        """Autoscalers of others that may scale the service, or its Deployments."""
        return tuple(child.body for child in self._concerned(service) if child.kind in kinds.AUTOSCALERS)

    def pods(self, service: Key) -> tuple[Object, ...]:
        """The service's engine pods, by name: those that its scale subresource selects."""
        return tuple(body for body in self._pods(service) if _component(body) == names.COMPONENT_ENGINE)

    def prefetch_pods(self, service: Key) -> tuple[Object, ...]:
        """The pods that prefetch the service's model, by name."""
        return tuple(body for body in self._pods(service) if _component(body) == names.COMPONENT_PREFETCH)

    def upsert(self, kind: Kind, body: Object) -> frozenset[Key]:
        """Store ``body`` unless a newer version is there. Returns the services that it concerns.

        None, when exactly this version is stored already, as when a watch echoes our own write, and when the change of
        a node or of an autoscaler does not matter. An older version than the stored one still concerns its services:
        the change that it carries was never handled.
        """
        place = _place_of(body)
        known = self._objects[kind].get(place)
        if self._is_gone(kind, body) or (known is not None and _same_version(known, body)):
            return frozenset()
        if known is not None and version_of(body) < version_of(known):
            return self._concerned_by(kind, known)
        if known is not None and not _matters(kind, known, body):
            self._put(kind, place, slim(body))
            return frozenset()
        before = self._concerned_by(kind, known) if known is not None else frozenset()
        self._put(kind, place, slim(body))
        return before | self._concerned_by(kind, body)

    def delete(self, kind: Kind, body: Object) -> frozenset[Key]:
        """Forget ``body``, the last state of a deleted object. Returns the services that it concerned.

        To a watch with a selector, an object that lost our label is deleted as well; a later version of it is stored
        again.
        """
        place, uid = _place_of(body), body["metadata"]["uid"]
        self._gone[kind][uid] = version_of(body)
        known = self._objects[kind].get(place)
        if known is None or known["metadata"]["uid"] != uid:
            return self._concerned_by(kind, body)
        self._drop(kind, place)
        return self._concerned_by(kind, body) | self._concerned_by(kind, known)

    def lose(self, kind: Kind) -> None:
        """The cluster lacks the kind, so there are no objects of it. A LIST of it brings it back."""
        self._absent.add(kind)
        for place in list(self._objects[kind]):
            self._drop(kind, place)
        self._gone.pop(kind, None)
        self._gone_before_resync.pop(kind, None)

    def replace_all(self, kind: Kind, listed: Iterable[Object], resource_version: str) -> None:
        """Make the kind's objects those of a LIST, which saw the world at ``resource_version``.

        Events that came while the LIST was under way hold: what they brought is newer, what they deleted stays deleted.
        """
        self._absent.discard(kind)
        seen_at = int(resource_version) if resource_version.isdecimal() else 0
        found = set()
        for body in listed:
            place = _place_of(body)
            known = self._objects[kind].get(place)
            if not self._is_gone(kind, body) and (known is None or version_of(known) <= version_of(body)):
                self._put(kind, place, slim(body))
            found.add(place)
        for place, known in list(self._objects[kind].items()):
            if place not in found and version_of(known) <= seen_at:
                self._drop(kind, place)
        self._gone_before_resync[kind] = self._gone.pop(kind, {})

    def behind(self, kind: Kind, listed: Iterable[Object]) -> int:
        """How many of the ``listed`` objects the watch should have delivered by now and has not."""
        return sum(1 for body in listed if self._is_news(kind, body))

    def _is_news(self, kind: Kind, body: Object) -> bool:
        known = self._objects[kind].get(_place_of(body))
        return not self._is_gone(kind, body) and (known is None or version_of(known) < version_of(body))

    def _is_gone(self, kind: Kind, body: Object) -> bool:
        uid = body["metadata"]["uid"]
        gone_at = self._gone[kind].get(uid, self._gone_before_resync[kind].get(uid, 0))
        return 0 < version_of(body) <= gone_at

    def _concerned_by(self, kind: Kind, body: Object) -> frozenset[Key]:
        """As service_keys; a claim or a namespace's label concerns all services there, a profile all that may take it,
        a node those with pods on it or on no node yet.

        A service that names no profile itself may be given any, by its namespace or the settings.
        """
        services = self._objects[kinds.INFERENCE_SERVICE]
        place = _place_of(body)
        if kind in {kinds.NAMESPACE, kinds.LEASE}:
            namespace = place.namespace or place.name
            return frozenset(key for key in services if key.namespace == namespace)
        if kind == kinds.SERVING_PROFILE:
            named = ((key, (service.get("spec") or {}).get("profile")) for key, service in services.items())
            return frozenset(key for key, name in named if name in {None, place.name})
        if kind == kinds.NODE:
            pods = (self._objects[kinds.POD][pod] for on in (place.name, NO_NODE) for pod in self._pods_on.get(on, ()))
            return frozenset(key for pod in pods for key in service_keys(kinds.POD, pod))
        if kind in kinds.AUTOSCALERS:
            return service_keys(kind, body) & services.keys()
        return service_keys(kind, body)

    def _pods(self, service: Key) -> list[Object]:
        return [child.body for child in self._concerned(service) if child.kind == kinds.POD]

    def _concerned(self, service: Key) -> list[Child]:
        return [Child(kind, self._objects[kind][place]) for kind, place in sorted(self._concerning.get(service, ()))]

    def _put(self, kind: Kind, place: Key, body: Object) -> None:
        self._drop(kind, place)
        self._objects[kind][place] = body
        if kind == kinds.POD:
            self._pods_on[_node_of(body)].add(place)
        if kind != kinds.INFERENCE_SERVICE:
            for service in service_keys(kind, body):
                self._concerning[service].add((kind, place))

    def _drop(self, kind: Kind, place: Key) -> None:
        known = self._objects[kind].pop(place, None)
        if known is None or kind == kinds.INFERENCE_SERVICE:
            return
        if kind == kinds.POD:
            _discard(self._pods_on, _node_of(known), place)
        for service in service_keys(kind, known):
            _discard(self._concerning, service, (kind, place))


def _node_of(pod: Object) -> str:
    return (pod.get("spec") or {}).get("nodeName") or NO_NODE


def _discard(index: dict[K, set[V]], key: K, value: V) -> None:
    index[key].discard(value)
    if not index[key]:
        del index[key]


def _component(pod: Object) -> str | None:
    return (pod["metadata"].get("labels") or {}).get(names.LABEL_APP_COMPONENT)


def _same_version(one: Object, other: Object) -> bool:
    return (one["metadata"]["uid"], one["metadata"].get("resourceVersion")) == (
        other["metadata"]["uid"],
        other["metadata"].get("resourceVersion"),
    )
