"""What counts as taking something from the users of a CRD, and what does not."""

from typing import Any

import pytest

from tests.support.crd_compatibility import breaking_changes
from tests.support.crd_schema import Object

NAME: Object = {"type": "string", "maxLength": 63, "minLength": 1}
SCHEMA: Object = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": NAME,
        "count": {"type": "integer", "minimum": 1, "maximum": 8, "default": 1},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "names": {"type": "array", "maxItems": 4, "items": NAME, "x-kubernetes-list-type": "set"},
        "sizes": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "integer"}},
    },
}


def changed(field: str, **keywords: Any) -> Object:
    """SCHEMA with these keywords of a field changed; None removes one."""
    node = {key: value for key, value in (SCHEMA["properties"][field] | keywords).items() if value is not None}
    return SCHEMA | {"properties": SCHEMA["properties"] | {field: node}}


def without(field: str) -> Object:
    return SCHEMA | {"properties": {name: node for name, node in SCHEMA["properties"].items() if name != field}}


@pytest.mark.parametrize(
    "present",
    [
        SCHEMA,
        SCHEMA | {"properties": SCHEMA["properties"] | {"new": {"type": "string"}}},
        SCHEMA | {"required": []},
        changed("name", maxLength=64, minLength=None, description="Other words."),
        changed("count", minimum=0, maximum=None),
        changed("kind", enum=["a", "b", "c"]),
        changed("kind", enum=None),
        changed("names", maxItems=5),
        changed("name", **{"x-kubernetes-validations": [{"rule": "true", "message": "fine"}]}),
    ],
)
def test_what_is_added_or_loosened_breaks_nothing(present: Object) -> None:
    assert breaking_changes(SCHEMA, present) == []


@pytest.mark.parametrize(
    ("present", "change"),
    [
        (without("kind"), "kind is gone"),
        (SCHEMA | {"required": ["name", "kind"]}, ": kind is required"),
        (changed("name", maxLength=62), "name: maxLength 62 is below 63"),
        (changed("kind", maxLength=62), "kind: maxLength 62 is below none"),
        (changed("name", minLength=2), "name: minLength 2 is above 1"),
        (changed("count", minimum=2), "count: minimum 2 is above 1"),
        (changed("count", default=2), "count: default was 1, is 2"),
        (changed("count", default=None), "count: default was 1, is None"),
        (changed("name", default="x"), "name: default was None, is x"),
        (changed("count", type="string"), "count: type was integer, is string"),
        (changed("kind", enum=["a"]), "kind: enum lacks b"),
        (changed("name", enum=["a"]), "name: enum limits what was free"),
        (changed("names", items=NAME | {"maxLength": 1}), "names[]: maxLength 1 is below 63"),
        (changed("sizes", additionalProperties={"type": "string"}), "sizes{}: type was integer, is string"),
        (
            changed("names", **{"x-kubernetes-list-type": "atomic"}),
            "names: x-kubernetes-list-type was set, is atomic",
        ),
    ],
)
def test_what_is_removed_or_tightened_is_reported_with_its_place(present: Object, change: str) -> None:
    assert breaking_changes(SCHEMA, present) == [change]
