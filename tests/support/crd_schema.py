"""What the CRD demands, read from its schema: every field, every bound and every rule with its place.

A place is written "spec.engine.env[].name": [] is any element of a list, {} any value of a map.
"""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

Object = dict[str, Any]
Step = str | int

RULES = "x-kubernetes-validations"
BOUNDS = (
    "enum",
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "maxItems",
    "maxProperties",
)
STRUCTURE = (
    "description",
    "type",
    "default",
    "anyOf",
    "required",
    "properties",
    "items",
    "additionalProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
"""Keywords that are no bounds; what ``required`` demands is found by ``required()``."""


class Bound(NamedTuple):
    """One keyword that limits the value at ``place``."""

    place: str
    keyword: str
    limit: Any


class Rule(NamedTuple):
    """One CEL rule, known by its message, that judges the value at ``place``."""

    place: str
    message: str


def nodes(schema: Object, place: str = "") -> Iterator[tuple[str, Object]]:
    """Every part of a structural schema with its place; the root's place is empty."""
    yield place, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{place}.{name}".lstrip("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{place}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{place}{{}}")


def bounds(schema: Object) -> list[Bound]:
    """All bounds of a schema."""
    return [Bound(place, key, node[key]) for place, node in nodes(schema) for key in BOUNDS if key in node]


def required(schema: Object) -> list[str]:
    """The places of all fields that must be there when what holds them is."""
    return [f"{place}.{name}".lstrip(".") for place, node in nodes(schema) for name in node.get("required", [])]


def rules(schema: Object) -> list[Rule]:
    """All CEL rules of a schema."""
    return [Rule(place, r["message"]) for place, node in nodes(schema) for r in node.get(RULES, [])]


def find(node: Object, place: str) -> tuple[Step, ...]:
    """The way from ``node`` to the first value at ``place``. Raises LookupError where there is none."""
    way = _find(node, re.findall(r"[^.\[\]{}]+|\[\]|\{\}", place))
    if way is None:
        raise LookupError(f"nothing at {place}")
    return way


def _find(node: Any, steps: list[str]) -> tuple[Step, ...] | None:
    if not steps:
        return ()
    for key in _choices(node, steps[0]):
        rest = _find(node[key], steps[1:])
        if rest is not None:
            return (key, *rest)
    return None


def _choices(node: Any, step: str) -> list[Step]:
    if step == "[]":
        return list(range(len(node)))
    if step == "{}":
        return list(node)
    return [step] if step in node else []


def written(way: tuple[Step, ...]) -> str:
    """A way as the API server writes it in messages: spec.engine.env[0].name."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in way).lstrip(".")


def changed(body: Object, way: tuple[Step, ...], value: Any) -> Object:
    """A copy of ``body`` with ``value`` at the end of ``way``."""
    copy = deepcopy(body)
    _holder(copy, way)[way[-1]] = value
    return copy


def without(body: Object, way: tuple[Step, ...]) -> Object:
    """A copy of ``body`` that lacks what is at the end of ``way``."""
    copy = deepcopy(body)
    del _holder(copy, way)[way[-1]]
    return copy


def _holder(body: Object, way: tuple[Step, ...]) -> Any:
    holder: Any = body
    for step in way[:-1]:
        holder = holder[step]
    return holder
