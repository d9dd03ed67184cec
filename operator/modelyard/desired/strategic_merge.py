"""Merging one part of a pod template into another as `kubectl patch` does (strategic merge), as pure data.

Kubernetes keeps in its Go types which lists are merged item by item, and by which fields; MERGE_KEYS is that knowledge
for all that we render. differences.py tells items apart by the same table.
"""

import copy
from collections.abc import Mapping
from typing import Any

from modelyard.contract.errors import InvalidError

MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    # A container's ports and a Service's: what one of the two has not is no part of its identity.
    "ports": ("containerPort", "port", "protocol"),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "resourceClaims": ("name",),
    "claims": ("name",),
    "schedulingGates": ("name",),
    "ownerReferences": ("uid",),
}
"""Lists whose items are told apart, by field (x-kubernetes-list-map-keys in Kubernetes' OpenAPI): others may add items
of their own. All other lists are one value."""

DEFAULTS: Mapping[str, str] = {"protocol": "TCP"}
"""What the API server fills in where an item lacks a field that identifies it."""

NOT_NEEDED = frozenset({"protocol", "port"})
"""Parts of an identity that an item of a pod template may lack."""

UNITED = frozenset({"tolerations"})
"""Lists without identities whose items are nevertheless added: to tolerate one taint more takes nothing away."""

CHOICES = frozenset({"env", "volumes"})
"""Lists whose items are one of several kinds: another kind takes the place of the former (Kubernetes: retainKeys)."""


DIRECTIVE = "$patch"
"""In a map of a patch: ``replace`` lets it take the place of what is there. kubectl apply strips nulls from what it
sends, so this is the way to be rid of a value that survives every client."""


def identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    """What tells ``item`` from the others in its list."""
    return tuple(item.get(key, DEFAULTS.get(key)) for key in keys)


def written(identity_: tuple[Any, ...]) -> str:
    """An identity in a path: ``engine``, ``8000/TCP``."""
    return "/".join(str(part) for part in identity_ if part is not None)


def merged(base: Mapping[str, Any], patch: Mapping[str, Any], path: str) -> dict[str, Any]:
    """``base`` with ``patch`` in it; a null there removes, and with DIRECTIVE ``base`` counts as empty.

    Neither is changed. ``path`` names the place in errors.

    Raises InvalidError (PodTemplateRefused) where the two have values of different shapes, and where a list that is to
    be merged is anything but a list of objects with their identifying fields, each once: not even null, which would
    remove our own.
    """
    if (directive := patch.get(DIRECTIVE)) is not None:
        if directive != "replace":
            raise InvalidError("PodTemplateRefused", f"{path}.{DIRECTIVE} must be replace.")
        base, patch = {}, {name: value for name, value in patch.items() if name != DIRECTIVE}
    result = {name: copy.deepcopy(value) for name, value in base.items() if name not in patch}
    for name, value in patch.items():
        if value is not None or (name in MERGE_KEYS and name in base):
            result[name] = _value(name, base.get(name), value, f"{path}.{name}")
    return result


def _value(field: str, base: Any, value: Any, path: str) -> Any:
    if field in MERGE_KEYS:
        return _merged_list(field, base or [], value, path)
    if isinstance(base, list) and not isinstance(value, list):
        raise InvalidError("PodTemplateRefused", f"{path} must be a list.")
    if field in UNITED and base:
        return [*base, *(item for item in value if item not in base)]
    if isinstance(value, Mapping):
        return merged(base if isinstance(base, Mapping) else {}, value, path)
    if isinstance(base, Mapping):
        raise InvalidError("PodTemplateRefused", f"{path} must be an object.")
    return copy.deepcopy(value)


def _merged_list(field: str, base: list[Any], value: Any, path: str) -> list[Any]:
    keys = MERGE_KEYS[field]
    given = _by_identity(value, keys, path)
    ours = {identity(item, keys): item for item in base}
    result = []
    for known in (*ours, *(known for known in given if known not in ours)):
        before, patch = ours.get(known, {}), given.get(known, {})
        if field in CHOICES and patch:
            before = {name: value for name, value in before.items() if name in patch}
        result.append(merged(before, patch, f"{path}[{written(known)}]"))
    return result


def _by_identity(value: Any, keys: tuple[str, ...], path: str) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    if not isinstance(value, list) or not all(_is_identified(item, keys) for item in value):
        needed = " and ".join(key for key in keys if key not in NOT_NEEDED)
        raise InvalidError("PodTemplateRefused", f"{path} must be a list of objects, each with {needed}.")
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for item in value:
        known = identity(item, keys)
        if known in found:
            raise InvalidError("PodTemplateRefused", f"{path} contains {written(known)} twice.")
        found[known] = item
    return found


def _is_identified(item: Any, keys: tuple[str, ...]) -> bool:
    return isinstance(item, Mapping) and all(
        isinstance(item.get(key), str | int) or (key in NOT_NEEDED and item.get(key) is None) for key in keys
    )
