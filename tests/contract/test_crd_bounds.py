"""Every bound and every required field of the CRD, judged by a real API server at the bound and one step beyond.

The cases come from the schema itself, so that a new field is tested as soon as it is there; what it needs is a place in
the full example, and a row in SIZED when not any text or number will do.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.api import crd
from modelyard.kinds import INFERENCE_SERVICE
from tests.support import crd_schema
from tests.support.api_client import Client, Object, RefusedError
from tests.support.apiserver import ApiServer
from tests.support.crd_schema import Bound
from tests.support.inference_services import full

SCHEMA = crd.schema()
NODES = dict(crd_schema.nodes(SCHEMA))
BOUNDS = crd_schema.bounds(SCHEMA)

SIZED: dict[str, Callable[[int], Any]] = {
    "spec.model.uri": lambda size: "s3://".ljust(size, "x"),
    "spec.model.s3.endpoint": lambda size: "https://".ljust(size, "x"),
    "spec.accelerator.resource": lambda size: "nvidia.com/".ljust(size, "x"),
    "spec.resources.requests": lambda size: {f"example.com/device-{number}": 1 for number in range(size)},
    "spec.resources.limits": lambda size: {f"example.com/device-{number}": 1 for number in range(size)},
    "spec.resources.requests{}": lambda size: "1" * size,
    "spec.resources.limits{}": lambda size: "1" * size,
    "spec.engine.args": lambda size: ["--flag"] * size,
    "spec.engine.env": lambda size: [{"name": f"NAME_{number}"} for number in range(size)],
    "spec.engine.triton.models": lambda size: [f"model-{number}" for number in range(size)],
    "status.conditions": lambda size: [
        {
            "type": f"Type{number}",
            "status": "True",
            "lastTransitionTime": "2026-11-01T12:00:00Z",
            "reason": "Fine",
            "message": "",
        }
        for number in range(size)
    ],
}
"""Values of a given size that nothing but the bound can refuse, where a row of x or the number itself is none."""


def sized(place: str, size: int) -> Any:
    """A value of this size for this place."""
    if place in SIZED:
        return SIZED[place](size)
    return size if NODES[place].get("type") == "integer" else "x" * size


def fitting(bound: Bound) -> Any:
    """A value exactly at the bound."""
    match bound.keyword:
        case "enum":
            return bound.limit[-1]
        case "format":
            return "2026-11-01T12:00:00Z"
        case _:
            return sized(bound.place, bound.limit)


def exceeding(bound: Bound) -> Any:
    """The nearest value beyond the bound."""
    match bound.keyword:
        case "enum" | "format":
            return "nonsense"
        case "minLength" | "minimum":
            return sized(bound.place, bound.limit - 1)
        case _:
            return sized(bound.place, bound.limit + 1)


COMPLAINTS = {
    "enum": "Unsupported value: {value}: supported values: {choices}",
    "format": "Invalid value: {value}: {field} in body must be of type {limit}: {value}",
    "minLength": "Invalid value: {value}: {field} in body should be at least {limit} chars long",
    "maxLength": "Too long: may not be more than {limit} bytes",
    "minimum": "Invalid value: {value}: {field} in body should be greater than or equal to {limit}",
    "maximum": "Invalid value: {value}: {field} in body should be less than or equal to {limit}",
    "maxItems": "Too many: {size}: must have at most {limit} items",
    "maxProperties": "Too many: {size}: must have at most {limit} items",
}


def complaint(bound: Bound, where: str, value: Any) -> str:
    """What the API server says of a value beyond the bound; in a status it leaves out the first word of ``where``."""
    return COMPLAINTS[bound.keyword].format(
        value=json.dumps(value),
        field=where.removeprefix("status."),
        limit=bound.limit,
        choices=", ".join(map(json.dumps, bound.limit)) if bound.keyword == "enum" else "",
        size=len(value) if isinstance(value, (list, dict)) else "",
    )


@pytest.fixture(scope="module")
def stored(apiserver: ApiServer) -> Object:
    """The full example as the server holds it, with its status."""
    client, body = apiserver.client(), full(apiserver.namespace())
    created = client.create(INFERENCE_SERVICE, body)
    return client.replace(INFERENCE_SERVICE, created | {"status": body["status"]}, "status")


def attempt(client: Client, stored: Object, body: Object, place: str) -> None:
    """Have ``body`` judged and thrown away: as a new object, or as a new status of the stored one."""
    if place.startswith("status"):
        client.replace(INFERENCE_SERVICE, body, "status", dryRun="All")
    else:
        metadata = {"name": "another", "namespace": stored["metadata"]["namespace"]}
        fields = {field: value for field, value in body.items() if field == "spec"}
        client.create(INFERENCE_SERVICE, {"metadata": metadata} | fields, dryRun="All")


def blamed(refused: RefusedError) -> list[tuple[str, str]]:
    """Field and complaint of each cause that the schema gave.

    Left out: the remark that rules went unchecked, and the scale subresource's own words on a negative count.
    """
    causes = [(cause["field"], cause["message"]) for cause in refused.causes]
    return [(field, text) for field, text in causes if field != "<nil>" and not field.startswith(".")]


def test_the_full_example_uses_every_field_of_the_schema(stored: Object) -> None:
    for place in NODES:
        assert crd_schema.find(stored, place) is not None


def test_every_keyword_of_the_schema_is_a_tested_bound_a_rule_or_structure() -> None:
    known = {*crd_schema.BOUNDS, *crd_schema.STRUCTURE, crd_schema.RULES}
    assert {keyword for node in NODES.values() for keyword in node} <= known


def test_every_text_list_and_map_is_bounded() -> None:
    limits = {"string": {"maxLength", "enum", "format"}, "array": {"maxItems"}}
    for place, node in NODES.items():
        if "additionalProperties" in node:
            assert "maxProperties" in node, place
        if node.get("type") in limits:
            assert limits[node["type"]] & node.keys(), place


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: f"{bound.place}-{bound.keyword}")
def test_a_value_at_its_bound_is_accepted(admin: Client, stored: Object, bound: Bound) -> None:
    way = crd_schema.find(stored, bound.place)
    attempt(admin, stored, crd_schema.changed(stored, way, fitting(bound)), bound.place)


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: f"{bound.place}-{bound.keyword}")
def test_a_value_beyond_its_bound_is_refused_by_name(admin: Client, stored: Object, bound: Bound) -> None:
    way, value = crd_schema.find(stored, bound.place), exceeding(bound)
    with pytest.raises(RefusedError) as refused:
        attempt(admin, stored, crd_schema.changed(stored, way, value), bound.place)
    where = crd_schema.written(way)
    assert blamed(refused.value) == [(where, complaint(bound, where, value))]


@pytest.mark.parametrize("place", crd_schema.required(SCHEMA))
def test_a_required_field_that_is_missing_is_named(admin: Client, stored: Object, place: str) -> None:
    way = crd_schema.find(stored, place)
    with pytest.raises(RefusedError) as refused:
        attempt(admin, stored, crd_schema.without(stored, way), place)
    assert (crd_schema.written(way), "Required value") in blamed(refused.value)
